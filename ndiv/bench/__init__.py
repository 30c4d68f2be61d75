"""Benchmarks of accuracy against published figures: ``ndiv bench accuracy``, or ``python -m ndiv.bench accuracy``.

Contract: `etth` holds the protocol (rows, standardization, windows, errors), `baselines` the forecasts without learning
whose errors are known to the digit, `settings` how each model is trained and where that comes from, `published` the
figures of papers, `accuracy` trains and scores, `cli` reads arguments and prints. Training gets rows before the test
part and nothing else, so no choice can depend on the test rows. Needs NumPy only. ``ndiv bench extensions`` compares the models
of ndiv's own on generated data, through frames (pandas).
"""
