"""Sweeps: many trials of one frozen snapshot, here or on a cluster, each recorded as an experiment beside the branch."""
