"""Deep stacks of residual blocks: NBEATS, NBEATSx, NHITS."""
