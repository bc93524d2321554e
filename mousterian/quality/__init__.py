"""Quality of pools: measures of their images against real ones."""
