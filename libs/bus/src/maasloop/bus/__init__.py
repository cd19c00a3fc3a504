"""The bus: what is said on it (subjects, envelope, columns), where it is kept (streams), and how to speak and listen.

``connection.Bus`` is the only object that talks to NATS; everything else in Maasloop is given one.
"""
