"""Who somebody is and what they may: certificates, tokens, keys, roles, NATS identities."""
