"""What the tests of all members share: a pytest plugin with real NATS and TimescaleDB servers.

``plugin`` holds the fixtures; ``providers`` decides where the servers come from: addresses in the environment, local
processes, or containers.
"""
