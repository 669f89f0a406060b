"""`python -m bench export`."""
