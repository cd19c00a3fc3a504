"""What ingest knows by itself: codecs, units, and who may report what."""
