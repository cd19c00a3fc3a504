"""The development authority: what it issues, when it renews, and who a certificate's name stands for."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from maasloop.core.clock import FakeClock
from maasloop.identity.certificates import (
    LEAF_LIFE,
    TRUST_DOMAIN,
    CertificateAuthority,
    DevelopmentCertificates,
    Holder,
    read_pair,
    uris_of,
)
from maasloop.identity.principals import Kind, Principal, of_uri

INGEST = Holder("ingest", Principal(Kind.SERVICE, "ingest"))
NATS = Holder("nats")
CLI = Holder("operator", Principal(Kind.OPERATOR, "local"), hosts=())


def test_what_is_issued_is_private_and_belongs_together(tmp_path: Path) -> None:
    """Files are 0600 in a directory of 0700, key and certificate match, and the URI names the holder."""
    directory = tmp_path / "tls"
    made = DevelopmentCertificates(directory, FakeClock())
    assert made.ensure([INGEST, NATS, CLI]) == ["ingest", "nats", "operator"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}
    files = made.files("ingest")
    pair = read_pair(files.certificate, files.key)
    assert pair is not None
    assert list(uris_of(pair.certificate)) == ["spiffe://maasloop.internal/service/ingest"]
    assert read_pair(files.certificate, made.files("nats").key) is None
    names = x509.load_pem_x509_certificate(made.files("nats").certificate.read_bytes()).extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["localhost"]


async def test_a_leaf_is_renewed_when_less_than_a_third_is_left(tmp_path: Path) -> None:
    """After 15 h nothing changes, after 17 h the leaf does and the authority stays."""
    clock = FakeClock()
    made = DevelopmentCertificates(tmp_path / "tls", clock)
    made.ensure([INGEST])
    authority = made.files("ingest").authority.read_bytes()
    await clock.advance(15 * 3600)
    assert made.ensure([INGEST]) == []
    await clock.advance(2 * 3600)
    assert made.ensure([INGEST]) == ["ingest"]
    assert made.files("ingest").authority.read_bytes() == authority


def test_a_leaf_of_another_authority_or_name_is_made_anew(tmp_path: Path) -> None:
    """A foreign leaf, another set of names and a key that does not match are each replaced."""
    clock = FakeClock()
    made = DevelopmentCertificates(tmp_path / "tls", clock)
    made.ensure([INGEST])
    files = made.files("ingest")
    foreign = CertificateAuthority.create(clock.now()).issue(INGEST, clock.now())
    files.certificate.write_bytes(foreign.certificate)
    files.key.write_bytes(foreign.key)
    assert made.ensure([INGEST]) == ["ingest"]
    files.key.write_bytes(foreign.key)
    assert made.ensure([INGEST]) == ["ingest"]
    assert made.ensure([Holder("ingest", INGEST.principal, hosts=("10.0.0.1",))]) == ["ingest"]


def test_leaves_live_a_day_and_sign_nothing() -> None:
    """A leaf ends 24 h after it was made and is no authority."""
    now = FakeClock().now()
    pair = CertificateAuthority.create(now).issue(INGEST, now)
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    assert leaf.not_valid_after_utc - now == LEAF_LIFE == timedelta(hours=24)
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://elsewhere/service/ingest",
        "https://maasloop.internal/service/ingest",
        "spiffe://maasloop.internal/person/ada",
        "spiffe://maasloop.internal/service/ingest/more",
        "spiffe://maasloop.internal//service/ingest",
        "spiffe://maasloop.internal/service/",
        "spiffe://maasloop.internal/service/in gest",
        "spiffe://maasloop.internal/service/ingest?as=operator",
        "spiffe://user@maasloop.internal/service/ingest",
        "",
    ],
)
def test_a_foreign_name_is_nobody(uri: str) -> None:
    """Another domain, kind, depth or spelling names no principal."""
    assert of_uri(uri, TRUST_DOMAIN) is None


def test_a_name_and_its_uri_are_one() -> None:
    """What a principal's URI says is read back as that principal."""
    for holder in (INGEST, CLI):
        assert holder.principal is not None
        assert of_uri(holder.principal.uri(TRUST_DOMAIN), TRUST_DOMAIN) == holder.principal
