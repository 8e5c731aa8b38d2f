"""One small reader for each tool that leaves runs on disk: from a file to its runs."""
