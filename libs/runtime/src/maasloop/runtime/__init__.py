"""Life of a service process: settings, tasks, drain, probes, outbox, projections."""
