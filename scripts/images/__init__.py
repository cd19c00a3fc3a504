"""Container images from what a machine without a registry has: a base of Debian's packages, wheels of the lock file."""
