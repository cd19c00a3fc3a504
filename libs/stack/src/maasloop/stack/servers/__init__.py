"""The two neighbours of the services, as real processes: NATS and PostgreSQL with TimescaleDB."""
