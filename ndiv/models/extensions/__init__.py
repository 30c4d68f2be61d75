"""Models of ndiv's own: NHITS with events, and a shared encoder with a head for each of many series."""
