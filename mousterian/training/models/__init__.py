"""Classifiers: each file's `build(classes, shape, ...)` returns a torch module."""
