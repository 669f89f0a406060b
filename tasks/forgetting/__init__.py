"""Forgetting tasks: their names, and knowledge tasks in the form that lm-eval runs."""
