"""Training in two steps: an adapter that is trained after another one, or after full training."""
