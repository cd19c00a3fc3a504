"""Grounds of processing, the life of a consent record, and what follows from both."""
