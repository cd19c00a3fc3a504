"""The service that decides and acts: policies, commands, overrides, journal."""
