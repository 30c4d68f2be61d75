"""Models in the frequency domain: TimesNet, StemGNN."""
