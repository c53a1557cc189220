"""Appending to and reading from a partition."""
