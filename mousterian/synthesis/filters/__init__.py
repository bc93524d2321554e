"""Filters: `score` says which images of a pool to keep, and how sure it is."""
