"""Where trials run, one file each: this machine, a Ray cluster, a Slurm cluster."""
