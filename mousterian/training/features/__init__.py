"""Feature spaces in which images are compared: each file's `load(device, data_dir, ...)` gives one."""

from __future__ import annotations

__all__ = ["Extractor", "Output", "Spaces", "dataset_named", "dataset_text", "load", "space_stamp"]
