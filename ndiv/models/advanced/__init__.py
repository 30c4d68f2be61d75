"""Deep stacks of residual blocks: NHITS."""
