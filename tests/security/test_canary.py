"""Secrets are known by their form, and one that stands elsewhere is found."""

from pathlib import Path

import pytest
from tests.security.lanes import canary
from tests.security.outcome import Plan, Result
from tests.security.secrets_found import hits, secrets_below, shapes

from maasloop.bus.city import City
from maasloop.core.clock import SystemClock
from maasloop.identity.certificates import DevelopmentCertificates, Holder

TIMEOUT_S = 240


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
async def test_no_secret_of_a_stack_stands_anywhere_else() -> None:
    """Logs, answers, state, configurations, command lines and metrics of a whole stack hold none of its secrets."""
    outcome = await canary.run(Plan(seed=1))

    assert outcome.result is Result.HELD, outcome.notes


def test_a_secret_in_a_log_is_found(tmp_path: Path) -> None:
    """A seed, a line of a private key, a password and a bearer token are each seen where they stand."""
    City(tmp_path / "nats", SystemClock()).ensure()
    DevelopmentCertificates(tmp_path / "tls", SystemClock()).ensure([Holder("nats")])
    (tmp_path / "password").write_text("correct-horse-battery-staple\n")
    (tmp_path / "passfile").write_text("127.0.0.1:5432:*:ingest:staple-battery-horse\n")

    secrets = secrets_below(tmp_path)
    kinds = {name.partition("/")[0].partition("#")[0] for name in secrets}

    assert kinds == {"nats", "tls", "password", "passfile"}
    assert all(
        hits({name: secret}, {"log": b"before " + secret.encode() + b" after"}) for name, secret in secrets.items()
    )
    key, seed = (
        next((tmp_path / where).rglob(name)).read_bytes() for where, name in (("tls", "*.key"), ("nats", "*.creds"))
    )
    for said in (
        key,
        seed,
        b"postgresql://maasloop_ingest:staple-battery@db/maasloop",
        (tmp_path / "passfile").read_bytes(),
    ):
        assert len(shapes({"trace": b"before\n" + said})) == 1
    assert hits(secrets, {"log": b"nothing", "certificate": (tmp_path / "nats" / "operator.jwt").read_bytes()}) == []
