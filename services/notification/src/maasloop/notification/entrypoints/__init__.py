"""One door a file: gRPC, and the streams of readings and command outcomes."""
