"""Which cells a grid has, which of them are done, and what the others cost."""
