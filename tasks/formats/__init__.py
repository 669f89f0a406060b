"""Formats in which facts are published, told by their fields and read as facts."""
