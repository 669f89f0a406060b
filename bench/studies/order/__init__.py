"""One fact after another until it is learned, against epochs over all facts."""
