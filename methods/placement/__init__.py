"""Where weights are changed: one file per placement."""
