"""The demo: registers a district, plays it, shows it, and accounts for everything in the end."""
