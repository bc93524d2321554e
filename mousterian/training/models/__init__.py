"""Classifiers: each file's `build(classes, shape, ...)` gives a torch module."""
