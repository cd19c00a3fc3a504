"""NATS identities: keys, the JWTs that operator, accounts and users are made of, credentials, the tree of a city."""
