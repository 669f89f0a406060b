"""Which layers to train."""
