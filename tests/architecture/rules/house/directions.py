"""Rules about imports by pattern: who may know a neighbour or a library."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase

from house.tree import Tree, Violation, imports, within

CLIENTS = ("maasloop.cli*", "maasloop.twin*", "maasloop.testing*", "maasloop.stack*")
EDGES = ("maasloop.*.adapters.*", "maasloop.*.entrypoints.*")
TABLES = ("maasloop.*.adapters.postgres*", "maasloop.*.adapters.sql*")
LIBRARIES = tuple(
    f"maasloop.{name}*" for name in ("api", "bus", "rpc", "postgres", "telemetry", "runtime", "stack", "testing")
)

WORLDLY = (
    *("asyncio", "http", "io", "logging", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "threading"),
    "urllib.request",
)

ONLY_IN: dict[str, tuple[str, ...]] = {
    "aiomqtt": (*CLIENTS, "maasloop.*.entrypoints.mqtt*"),
    "aiosmtplib": ("maasloop.notification.adapters.*",),
    "cel": ("maasloop.runtime.conditions",),
    "grpc": (
        *("maasloop.api*", "maasloop.rpc*", "maasloop.runtime.following", "maasloop.runtime.serving", *CLIENTS),
        *("maasloop.*.app", "maasloop.*.entrypoints.rpc*", "maasloop.*.adapters.*"),
    ),
    "httpx2": (*CLIENTS, "maasloop.*.adapters.*"),
    "libsumo": ("maasloop.twin*",),
    "maasloop.api": (*LIBRARIES, *CLIENTS, *EDGES, "maasloop.*.app"),
    "maasloop.bus": (*LIBRARIES, *CLIENTS, *EDGES, "maasloop.*.app", "maasloop.*.__main__"),
    "maasloop.postgres": ("maasloop.postgres*", "maasloop.runtime*", *CLIENTS, *TABLES, "maasloop.*.app"),
    "maasloop.rsmp": ("maasloop.rsmp*", *CLIENTS, *EDGES, "maasloop.*.app"),
    "nats": ("maasloop.bus*", "maasloop.testing*", "maasloop.stack*"),
    "psycopg": (
        # The settings read the host out of a connection string.
        *(
            "maasloop.postgres*",
            "maasloop.runtime.outbox*",
            "maasloop.runtime.settings",
            "maasloop.testing*",
            "maasloop.stack*",
        ),
        *TABLES,
    ),
    "psycopg_pool": ("maasloop.postgres*", "maasloop.testing*", "maasloop.stack*", *TABLES),
    "pydantic_settings": ("maasloop.*.settings", "maasloop.runtime*", "maasloop.stack*", "maasloop.cli*"),
    "starlette": ("maasloop.runtime*", "maasloop.testing*", "maasloop.*.entrypoints.http*"),
    "sumolib": ("maasloop.twin*",),
    "traci": ("maasloop.twin*",),
    "uvicorn": ("maasloop.runtime*", "maasloop.testing*", "maasloop.*.entrypoints.http*"),
}
"""Who may import what, by patterns of module names; everybody else asks one of them."""


def known_neighbours(tree: Tree) -> Iterator[Violation]:
    """A library is imported only where its neighbour is met."""
    for source in tree.packages:
        for node, name in imports(source):
            for library, places in ONLY_IN.items():
                if within(name, library) and not any(fnmatchcase(source.module, place) for place in places):
                    yield source.at(node, f"imports {library}, which only {', '.join(places)} may")


def pure_domains(tree: Tree) -> Iterator[Violation]:
    """A domain imports the standard library, ``maasloop.core`` and itself."""
    for source in tree.packages:
        if source.room[:1] == ("domain",):
            own = ".".join(source.module.split(".")[:3])
            for node, name in imports(source):
                known = name.partition(".")[0] in sys.stdlib_module_names
                if not known and not within(name, own) and not within(name, "maasloop.core"):
                    yield source.at(node, f"a domain imports {name}")


def unworldly_domains(tree: Tree) -> Iterator[Violation]:
    """A domain neither waits, nor logs, nor reads or writes anything."""
    for source in tree.packages:
        if source.room[:1] == ("domain",):
            for node, name in imports(source):
                if any(within(name, each) for each in WORLDLY):
                    yield source.at(node, f"a domain imports {name}: it decides, others act")
            for each in ast.walk(source.syntax):
                if isinstance(each, ast.AsyncFunctionDef | ast.Await):
                    yield source.at(each, "a domain waits: it decides, others act")


def lonely_handlers(tree: Tree) -> Iterator[Violation]:
    """A handler never imports a handler: it returns or publishes."""
    for source in tree.packages:
        if source.room[:1] == ("handlers",) and len(source.room) > 1:
            package = ".".join(source.module.split(".")[:3])
            for node, name in imports(source):
                if within(name, package) and not within(name, source.module):
                    yield source.at(node, f"a handler imports the handler {name}")
