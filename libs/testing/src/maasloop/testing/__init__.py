"""pytest plugin: NATS and TimescaleDB servers, clocks, builders."""
