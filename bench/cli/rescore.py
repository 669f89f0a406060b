"""`python -m bench rescore`."""
