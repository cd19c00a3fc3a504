"""One door a file."""
