"""Real images: datasets, subsets, decoding."""
