"""The ``maasloop`` command: everything the services offer, for a person at a terminal.

One file a noun. grpc, nats and protobuf are imported by the commands that need them, so that ``--help`` answers at once.
Other packages add commands by the entry-point group ``maasloop.cli``: a function that is given the app.

Exit status: 0 done, 1 refused (the reason is on standard error), 2 wrong usage, 3 whoever is needed does not answer,
130 ended by Ctrl-C.
"""
