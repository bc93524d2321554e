"""Feature spaces in which images are compared: each file's `load(device, data_dir, ...)` returns one."""
