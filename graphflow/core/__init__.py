"""The vocabulary every other package shares: dtypes, symbolic dimensions, abstract values, op records, dispatch, errors."""
