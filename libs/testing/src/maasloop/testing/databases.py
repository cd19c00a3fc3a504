"""Databases that live for one test, copied from a template that is made once a session.

A copy takes about 20 ms; the extension, schemas and roles are in it. The template admits no connection, because a
database with a client cannot be copied.
"""

import os
from itertools import count
from typing import LiteralString

from psycopg import sql

from maasloop.postgres.once import connect_once
from maasloop.stack.servers.databases import create_service_database
from maasloop.testing.endpoints import TimescaleEndpoint


class TestDatabases:
    """Creates and drops the databases of one test session."""

    __test__ = False

    def __init__(self, server: TimescaleEndpoint) -> None:
        """Work on this server; names carry our process id, so that two sessions may share a server."""
        self._server = server
        self._prefix = f"maasloop_test_{os.getpid()}"
        self._template = f"{self._prefix}_template"
        self._numbers = count(1)

    def prepare(self) -> None:
        """Make the template."""
        create_service_database(self._server.dsn(), self._server.dsn(self._template), self._template)
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", self._template)

    def create(self) -> str:
        """Copy the template and return the name of the copy."""
        name = f"{self._prefix}_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def close(self) -> None:
        """Drop the template."""
        self.drop(self._template)

    def _run(self, statement: LiteralString, *names: str) -> None:
        with connect_once(self._server.dsn(), name="maasloop-testing", autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
