"""Figures: each file's `draw(...)` gives one figure with its caption."""
