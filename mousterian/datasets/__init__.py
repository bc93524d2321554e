"""Datasets: each file's `load(split, ...)` gives an :class:`~mousterian.images.ImageSet`."""
