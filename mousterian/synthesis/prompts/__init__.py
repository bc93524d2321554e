"""Prompt makers: class names to prompts for text-to-image generators; each file has one `write`."""
