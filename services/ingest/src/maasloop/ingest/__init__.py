"""The service that hears: observations and responses of devices."""
