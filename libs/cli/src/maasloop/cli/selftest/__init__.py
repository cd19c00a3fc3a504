"""What a running city must be able to do, tried on a district of its own: from door to lamp and back."""
