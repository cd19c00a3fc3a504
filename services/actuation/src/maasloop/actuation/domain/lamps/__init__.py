"""Lamps: what is known of one, and the kernel that judges every request to one. Pure; time is given as arguments."""
