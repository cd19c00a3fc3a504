"""gRPC as Maasloop uses it: servers and clients that map errors once, validate requests, keep deadlines and drain.

Nothing here knows a service; doors add their servicers to ``server.RpcServer``, adapters call neighbours by
``client.call``.
"""
