"""Feature spaces in which images are compared: each file's `load(device, data_dir, ...)` gives one."""

from mousterian.features._extractor import Extractor, Output, Spaces, load, space_stamp
from mousterian.features._names import dataset_named, dataset_text

__all__ = ["Extractor", "Output", "Spaces", "dataset_named", "dataset_text", "load", "space_stamp"]
