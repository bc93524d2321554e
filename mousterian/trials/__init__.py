"""Grid files, trials and their identity, and one trial's run."""
