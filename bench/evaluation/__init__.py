"""What a model answers, metrics of it, and the signals that methods ask for."""
