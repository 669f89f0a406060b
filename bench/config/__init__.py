"""What a user asks for: the options of a run, their types, and what to tune."""
