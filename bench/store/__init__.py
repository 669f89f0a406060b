"""Records of cells, their files, and what is kept of a base."""
