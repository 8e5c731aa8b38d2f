"""Bridges to the neighbours. Nothing is imported here: each needs its own library."""
