"""Which cells a grid holds, which of them are done, and what the rest costs."""
