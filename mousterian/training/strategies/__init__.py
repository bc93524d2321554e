"""Strategies: how a mixture is trained on; each file has one `train`."""
