"""Strategies: how a mixture is trained on; each file has a function `train`."""
