"""NATS: subjects, envelope, streams, publish, consume."""
