"""Prompt makers: `write` turns class names into prompts for text-to-image generators."""
