"""What is learned, and how strongly: one file per strategy."""
