"""The placement study: which layers to train."""
