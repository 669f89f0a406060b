"""How weights are changed: one file per adapter."""
