"""What a model answers, the metrics of it, and the signals that parts of methods ask for."""
