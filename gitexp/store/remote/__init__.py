"""Experiments on a remote: pushed, pulled, gathered."""
