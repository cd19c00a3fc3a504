"""The preflight says in a sentence what is missing, and nothing where nothing is."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from maasloop.core.clock import SystemClock
from maasloop.stack.cluster_secrets import Release, cluster_secrets
from maasloop.stack.doors import NatsUser
from maasloop.stack.preflight import certificate_findings, database_findings, nats_findings
from maasloop.stack.servers.databases import SERVICES, GivenPasswords


@pytest.fixture(name="folders")
def _folders(tmp_path: Path) -> Path:
    """Certificates as the job sees them."""
    made = cluster_secrets(tmp_path / "kept", Release(), SystemClock())
    for service in SERVICES:
        folder = tmp_path / "seen" / service
        folder.mkdir(parents=True)
        for name in ("tls.crt", "ca.crt"):
            (folder / name).write_bytes(made[f"maasloop-{service}-tls"][name])
    return tmp_path / "seen"


def test_certificates_that_are_right_are_no_finding(folders: Path) -> None:
    """What the stack's own code makes passes."""
    assert list(certificate_findings(folders, SystemClock().now())) == []


def test_certificates_that_are_not_right_are_told(folders: Path) -> None:
    """One that is missing, one that is another's and one that is none; later, all of them have ended."""
    (folders / "ingest" / "tls.crt").unlink()
    (folders / "consent" / "tls.crt").write_bytes((folders / "actuation" / "tls.crt").read_bytes())
    (folders / "timeseries" / "tls.crt").write_text("nothing")
    now = SystemClock().now()
    told = list(certificate_findings(folders, now))
    later = list(certificate_findings(folders, now + timedelta(days=2)))

    assert [each.partition(":")[0] for each in told] == ["consent", "ingest", "timeseries"]
    assert "spiffe://" in told[0]
    assert "no tls.crt" in told[1]
    assert sum("ended on" in each for each in later) == len(SERVICES) - 2


async def test_a_secret_without_credentials_is_told(tmp_path: Path) -> None:
    """The job says which file is missing before it tries to connect."""
    user = NatsUser("nats://127.0.0.1:1", tmp_path / "ensure.creds", None)
    told = [each async for each in nats_findings(user, "mqtt://127.0.0.1:1", 1)]

    assert told == ["the Secret of streams.natsSecret has no ensure.creds: make it with `maasloop identities`"]


@pytest.mark.integration
async def test_nats_is_looked_at(nats_url: str) -> None:
    """A server that answers is right for one copy, too small for three, and nobody listens for devices on port 1."""
    told = [each async for each in nats_findings(NatsUser(nats_url), "mqtt://127.0.0.1:1", 3)]

    assert ["asks for 3 copies" in told[0], "nobody listens for devices" in told[1], len(told)] == [True, True, 2]


@pytest.mark.integration
def test_databases_are_looked_at(service_dsn: Callable[[str], str]) -> None:
    """A service with its schema passes; one without a connection string, and one in another's schema, are told."""
    dsns = {"ingest": service_dsn("ingest"), "consent": "", "actuation": service_dsn("ingest")}
    told = list(database_findings(dsns))

    assert ["its Secret has no postgres-dsn" in told[0], "search_path = actuation" in told[1], len(told)] == [
        True,
        True,
        2,
    ]


def test_passwords_come_from_connection_strings() -> None:
    """A role gets the password of its own string, and a string of somebody else is refused."""
    given = GivenPasswords({"one": "postgresql://one:p%40ss@db/x", "two": "postgresql://one:secret@db/x"})

    assert (given.of("one"), given.of("three")) == ("p@ss", "")
    with pytest.raises(ValueError, match="must name that role"):
        given.of("two")
