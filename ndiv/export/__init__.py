"""A tape in other forms: drawings (draw.py, laid out by layout.py)."""
