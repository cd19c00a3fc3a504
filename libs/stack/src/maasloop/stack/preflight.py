"""What a release needs from outside, looked at before it is installed: each finding is a sentence that says what to do.

Nothing is changed. Certificates are looked at by their public halves only.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from maasloop.bus.connection import connect
from maasloop.core.errors import MaasloopError
from maasloop.identity.certificates import end_of, uris_of
from maasloop.postgres.once import StepConnection, connect_once
from maasloop.stack.doors import NatsUser
from maasloop.stack.servers.databases import schema_name

POSTGRES_VERSION_MIN = 170_000
NATS_VERSION_MIN = (2, 15)
CONNECT_TIMEOUT_S = 5.0
MQTT_PORT = 1883


async def nats_findings(user: NatsUser, mqtt_url: str, replicas: int) -> AsyncIterator[str]:
    """Look whether NATS lets the streams job in, is new enough, has enough servers, and listens for devices."""
    for file in filter(None, (user.credentials_file, user.authority_file)):
        if not file.is_file():
            yield f"the Secret of streams.natsSecret has no {file.name}: make it with `maasloop identities`"
            return
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S), connect(**user.options(), name="maasloop-preflight") as bus:
            version, servers = bus.client.connected_server_version, len(bus.client.servers)
    except (TimeoutError, OSError, MaasloopError) as error:
        yield f"NATS at {user.url} does not let the streams job in ({_told(error)}): look at nats.url, its certificate and its accounts"
        return
    if (version.major, version.minor) < NATS_VERSION_MIN:
        yield f"NATS at {user.url} is {version}: take {'.'.join(map(str, NATS_VERSION_MIN))} or later"
    if servers < replicas:
        yield f"NATS at {user.url} has {servers} servers, and streams.replicas asks for {replicas} copies: add servers, or ask for fewer"
    url = urlsplit(mqtt_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(url.hostname, url.port or MQTT_PORT)
        writer.close()
    except (TimeoutError, OSError) as error:
        yield f"nobody listens for devices at {mqtt_url} ({_told(error)}): switch MQTT on in NATS, or mend nats.mqttUrl"


def database_findings(dsns: Mapping[str, str]) -> Iterator[str]:
    """Look whether each service comes into its database, owns its schema, and finds TimescaleDB there."""
    for service, dsn in dsns.items():
        if not dsn:
            yield f"{service}: its Secret has no postgres-dsn: put the connection string of its own role there"
            continue
        try:
            with connect_once(dsn, name="maasloop-preflight") as connection:
                yield from _schema_findings(service, connection)
        except psycopg.Error as error:
            yield f"{service}: PostgreSQL does not answer as it should ({_told(error)}): look at its postgres-dsn"


def _schema_findings(service: str, connection: StepConnection) -> Iterator[str]:
    schema = schema_name(service)
    if connection.info.server_version < POSTGRES_VERSION_MIN:
        yield f"{service}: PostgreSQL is {connection.info.server_version}: take 17 or later"
    known = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    if known is None:
        yield f"{service}: its database has no TimescaleDB: CREATE EXTENSION timescaledb"
    (current,) = connection.execute("SELECT current_schema()").fetchone() or ("",)
    if current != schema:
        yield f"{service}: its role finds the schema {current} first: ALTER ROLE … SET search_path = {schema}, public"
        return
    (may,) = connection.execute("SELECT has_schema_privilege(%s, 'CREATE')", [schema]).fetchone() or (False,)
    if not may:
        yield f"{service}: its role may make nothing in the schema {schema}: ALTER SCHEMA {schema} OWNER TO …"


def certificate_findings(directory: Path, now: datetime) -> Iterator[str]:
    """Look whether each service (a folder with tls.crt and ca.crt) has a certificate that names it and holds."""
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        service = folder.name
        missing = [name for name in ("tls.crt", "ca.crt") if not (folder / name).is_file()]
        if missing:
            yield f"{service}: the Secret of its certificate is not there or has no {' and '.join(missing)}"
            continue
        text = (folder / "tls.crt").read_bytes()
        try:
            ends, uris = end_of(text), uris_of(text)
        except ValueError:
            yield f"{service}: tls.crt is no certificate (PEM)"
            continue
        if ends < now:
            yield f"{service}: its certificate ended on {ends:%Y-%m-%d %H:%M} UTC: renew it"
        if not any(uri.endswith(f"/service/{service}") for uri in uris):
            yield f"{service}: its certificate names {', '.join(uris) or 'nobody'}, and not spiffe://…/service/{service}"


def _told(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
