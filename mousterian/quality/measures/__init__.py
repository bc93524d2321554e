"""Quality measures: `measure(pool, real, test, context, ...)` returns named values of a pool."""
