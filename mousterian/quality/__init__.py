"""How good a pool is: measures of its images against real ones."""
