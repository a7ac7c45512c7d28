"""The vocabulary every other package shares:

Dtypes, symbolic dimensions, abstract values, op records, dispatch, errors.
"""
