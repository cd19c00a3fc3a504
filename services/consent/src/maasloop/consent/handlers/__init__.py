"""What can be done with consent, one use case a file."""
