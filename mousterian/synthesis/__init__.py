"""Pools of synthetic images: generators, prompts, filters, and the pools on disk."""
