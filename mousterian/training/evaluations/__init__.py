"""Evaluations: each file's `evaluate(model, images, ...)` scores a trained classifier."""
