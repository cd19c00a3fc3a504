"""The service that remembers: observations, states, positions, rollups."""
