"""A whole Maasloop on one machine as real processes on loopback.

``servers`` holds the two neighbours, NATS and PostgreSQL; ``platform`` the six services; ``local`` puts both together
under one supervisor. Everything is a child of one process and dies with it.
"""
