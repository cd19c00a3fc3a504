"""What can be done with the registry, one use case a file."""
