"""Datasets: each file's `load(split, ...)` gives an :class:`~mousterian.data.image_set.ImageSet`."""
