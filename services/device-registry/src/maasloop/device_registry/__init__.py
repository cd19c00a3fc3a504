"""The service that knows: devices, types, districts, groups."""
