"""Filters: `score` returns a score of each image of a pool, and whether to keep it."""
