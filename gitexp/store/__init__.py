"""The experiments of a repository: recorded, indexed, asked for, checked out, shared."""
