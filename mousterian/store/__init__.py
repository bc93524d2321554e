"""The store: every trial's rows as parquet files, quality of pools, sample sheets."""
