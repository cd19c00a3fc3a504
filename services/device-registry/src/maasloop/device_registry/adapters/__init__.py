"""Neighbours of the registry."""
