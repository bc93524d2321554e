"""Generators: `fit` on real images (trained here) or `load` (trained elsewhere) gives a sampler."""
