"""Models whose forecast is a distribution first of all."""
