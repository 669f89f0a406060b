"""One file for each knowledge task; discovered by its presence."""
