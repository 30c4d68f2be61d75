"""Recurrent models: a state that is carried from step to step."""
