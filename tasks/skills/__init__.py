"""Skills: a procedure is learned from examples and asked of held-out problems."""
