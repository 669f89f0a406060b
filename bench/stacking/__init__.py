"""Many adapted models on one base, run and trained at once."""
