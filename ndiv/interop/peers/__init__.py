"""Weights of neuralforecast's models, one file a model, named as the class in lower case.

Contract: ``convert(state, model)`` takes neuralforecast's state_dict as arrays by its names and the ndiv model (same
arguments, ``variant="compat"``), and returns the weights by the names of the ndiv model. What all models share is not the
file's business: buffers and weights of losses (``loss.``, ``valid_loss.``) and of the scaler (``scaler.``) are carried over
by `ndiv.interop.neuralforecast`. ``UNUSED_ARGUMENTS``, where a file has it, names constructor arguments of neuralforecast's
model that its forecasts do not depend on and ndiv's model does not have; ``arguments(given)``, where it has one, returns
neuralforecast's arguments with those in place that mean something else there.
"""
