"""What ingest knows by itself: codecs, units, who may report what, and on which ground."""
