"""The service that remembers: numbers, states and positions of the street, by series and event time.

A writer turns acknowledged readings into rows, exactly once: rows, the position in the stream and the custody counters
commit together, and only then is the broker told. Readers ask for the newest, for ranges, for buckets, and for what is
stored from now on; nobody reads a personal series after its consent is gone.
"""
