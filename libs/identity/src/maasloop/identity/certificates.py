"""A certificate authority of the platform's own, for machines that have no other.

It names a holder by a SPIFFE-like URI (``principals``) and by the host names and addresses it answers on (RFC 5280
4.2.1.6, RFC 9525). Leaves live 24 h and are renewed in place. In a cluster cert-manager issues the same form of
certificate, and nothing of this module runs.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from maasloop.core.clock import Clock

from .principals import Kind, Principal
from .secret_files import secret_directory, write_secret

TRUST_DOMAIN = "maasloop.internal"
LEAF_LIFE = timedelta(hours=24)
AUTHORITY_LIFE = timedelta(days=1825)
RENEWED_BELOW = 1 / 3
"""Share of its life that a certificate has left when it is renewed."""
CLOCK_SKEW = timedelta(minutes=5)
"""A certificate holds from so long before it was made, for peers whose clocks are behind."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

_AUTHORITY = "ca"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The three files that a TLS peer is told (PEM)."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its private key (PEM, PKCS #8)."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate is made for."""

    name: str
    """Name of its files."""
    principal: Principal | None = None
    """None for a server that is nobody's caller."""
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    """Host names and addresses it is called by; none for one that only calls."""


class CertificateAuthority:
    """Signs certificates with a key of its own (ECDSA P-256)."""

    def __init__(self, pair: Pair) -> None:
        """Take the authority's own certificate and key."""
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate)
        match load_pem_private_key(pair.key, None):
            case ec.EllipticCurvePrivateKey() as key:
                self._key = key
            case _:
                message = "the authority's key must be an elliptic-curve key"
                raise ValueError(message)

    @classmethod
    def create(cls, now: datetime, name: str = "Maasloop development authority") -> Self:
        """Make an authority that may sign leaves and nothing below them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key, now, AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, SHA256())
        )
        return cls(_pair(certificate, key))

    def issue(self, holder: Holder, now: datetime, life: timedelta = LEAF_LIFE) -> Pair:
        """Return a certificate for both sides of TLS, with a key made for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder.name)])
        certificate = (
            _builder(subject, self._certificate.subject, key, now, life)
            .add_extension(x509.SubjectAlternativeName(_names(holder)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, SHA256())
        )
        return _pair(certificate, key)


class DevelopmentCertificates:
    """The authority and the certificates of one machine, as files of a directory (0700, each file 0600)."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Keep them in ``directory``, which ``ensure`` makes."""
        self._directory = directory
        self._clock = clock

    def files(self, name: str) -> TlsFiles:
        """Return where the files of a holder lie."""
        return TlsFiles(*self._paths(name), self._paths(_AUTHORITY)[0])

    def ensure(self, holders: Iterable[Holder]) -> list[str]:
        """Make what is missing, foreign or has too little left; returns the names of holders that got a new one.

        A new authority is made only where there is none or it is about to end; every certificate follows it.
        """
        secret_directory(self._directory)
        now = self._clock.now()
        certificate, key = self._paths(_AUTHORITY)
        if due(certificate, now):
            self._write(_AUTHORITY, CertificateAuthority.create(now).pair)
        authority = CertificateAuthority(Pair(certificate.read_bytes(), key.read_bytes()))
        renewed = [
            holder for holder in holders if due(self._paths(holder.name)[0], now) or not self._holds(holder, authority)
        ]
        for holder in renewed:
            self._write(holder.name, authority.issue(holder, now))
        return [holder.name for holder in renewed]

    def reissue(self, holders: Iterable[Holder]) -> list[str]:
        """Give every holder a new key and certificate of the same authority; returns their names."""
        now = self._clock.now()
        certificate, key = self._paths(_AUTHORITY)
        authority = CertificateAuthority(Pair(certificate.read_bytes(), key.read_bytes()))
        names = []
        for holder in holders:
            self._write(holder.name, authority.issue(holder, now))
            names.append(holder.name)
        return names

    def _holds(self, holder: Holder, authority: CertificateAuthority) -> bool:
        """Tell whether the holder's files belong together, to this authority and to its names."""
        files = self.files(holder.name)
        pair = read_pair(files.certificate, files.key)
        if pair is None:
            return False
        leaf = x509.load_pem_x509_certificate(pair.certificate)
        issuer = x509.load_pem_x509_certificate(authority.pair.certificate)
        try:
            leaf.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == _names(holder)

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self._directory / f"{name}.crt", self._directory / f"{name}.key"

    def _write(self, name: str, pair: Pair) -> None:
        certificate, key = self._paths(name)
        write_secret(key, pair.key)
        write_secret(certificate, pair.certificate)


def due(certificate: Path, now: datetime) -> bool:
    """Tell whether a certificate is missing, unreadable, or has less than a third of its life left."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return True
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    return now < begin or end - now < (end - begin) * RENEWED_BELOW


def read_pair(certificate: Path, key: Path) -> Pair | None:
    """Return a certificate and its key; none while the two files do not belong together, as between two renames."""
    pair = Pair(certificate.read_bytes(), key.read_bytes())
    try:
        own = x509.load_pem_x509_certificate(pair.certificate).public_key()
        private = load_pem_private_key(pair.key, None)
    except ValueError:
        return None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pair if own.public_bytes(*form) == private.public_key().public_bytes(*form) else None


def end_of(certificate: bytes) -> datetime:
    """Return until when a certificate (PEM) holds; raises ``ValueError`` for what is none."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def uris_of(certificate: bytes) -> Sequence[str]:
    """Return the URI names of a certificate (PEM)."""
    found = x509.load_pem_x509_certificate(certificate)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _names(holder: Holder) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    if holder.principal is not None:
        names.append(x509.UniformResourceIdentifier(holder.principal.uri(TRUST_DOMAIN)))
        if holder.principal.kind is Kind.SERVICE:
            # The name by which neighbours believe it, wherever it runs.
            names.append(x509.DNSName(f"{holder.principal.name}.{TRUST_DOMAIN}"))
    for host in holder.hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
