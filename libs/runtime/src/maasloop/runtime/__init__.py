"""The life of a service process: settings, ordered start and stop, probes, outbox relay, local projections.

A service's ``__main__`` is three lines::

    from maasloop.runtime.entry import entry
    ...
    sys.exit(entry(IngestSettings, assemble, package="maasloop.ingest"))
"""
