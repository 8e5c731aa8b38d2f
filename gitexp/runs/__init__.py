"""A run from its first line to its experiment: start, journal, command, end, recovery."""
