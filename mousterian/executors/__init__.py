"""Executors: where trials run; each file has one `run`."""
