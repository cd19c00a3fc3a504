"""One neighbour a file: tables, expressions, registry, webhooks, mail."""
