"""Quality measures: each file's `measure(pool, real, test, context, ...)` gives named numbers of a pool."""
