"""A district played by SUMO over real sockets."""
