"""One neighbour a file."""
