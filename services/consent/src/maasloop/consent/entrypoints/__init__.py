"""Doors of consent."""
