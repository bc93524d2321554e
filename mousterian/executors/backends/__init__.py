"""Where trials run, one a file: this machine, Ray, Slurm; `executors/kinds.py` says what a file has."""
