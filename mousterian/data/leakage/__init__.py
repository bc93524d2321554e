"""Leak checks: test images in a training set or in a pool, by image and by pool."""
