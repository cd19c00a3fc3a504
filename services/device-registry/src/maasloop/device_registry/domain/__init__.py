"""What a registry may hold: resources, what they refer to, and the life of a device."""
