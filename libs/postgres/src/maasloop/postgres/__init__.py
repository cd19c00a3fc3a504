"""PostgreSQL as Maasloop uses it: connections that notice a dead server, migrations, binary COPY, ordered revisions.

Services keep their SQL to themselves; here is only what would be the same in all of them. A service's role has its own
schema as ``search_path``, so that no SQL names a schema.
"""
