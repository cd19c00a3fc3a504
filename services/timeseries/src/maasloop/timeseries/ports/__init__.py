"""What the handlers need of the world: one file a side."""
