"""A run from its first line to its experiment: start, journal, command, end, recovery."""

FOLDER = "runs"  # below .git/gitexp: a folder for each run that is not recorded yet
