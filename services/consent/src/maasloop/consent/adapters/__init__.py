"""Neighbours of consent."""
