"""Plug-ins: found by their file's name, their options read from their source."""
