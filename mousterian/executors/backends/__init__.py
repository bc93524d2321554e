"""Where trials run, one file a place: this machine, a Ray cluster, a Slurm cluster."""
