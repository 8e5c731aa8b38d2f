"""Runs that other tools kept, and results that lie in old commits, become experiments."""
