"""One HTML page, live or as a file, and charts."""
