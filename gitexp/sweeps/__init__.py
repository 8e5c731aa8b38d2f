"""Many trials of one frozen snapshot, here or on a cluster."""
