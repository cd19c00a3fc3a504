"""gRPC servers and clients: interceptors, page tokens, health."""
