"""The authority that signs certificates of devices, for a city with a PKI.

The certificate names the device by a SPIFFE-like URI; the names of the request are not read, its key is.
"""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from maasloop.device_registry.domain.credential import Holder
from maasloop.device_registry.domain.resource import refuse
from maasloop.identity.certificates import CLOCK_SKEW, TRUST_DOMAIN

LIFE = timedelta(days=90)
RSA_BITS_MIN = 2_048
COMMON_NAME_MAX = 64


class FileDeviceAuthority:
    """An authority whose certificate and key lie in files (PEM)."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both at once: a service with an authority that it cannot use does not start."""
        self._text = certificate.read_text()
        self._certificate = x509.load_pem_x509_certificate(self._text.encode())
        loaded = load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            message = f"{key} must hold an elliptic-curve key"
            raise ValueError(message)  # noqa: TRY004 - wrong content of a file, not a wrong argument
        self._key = loaded

    def sign(self, request: str, holder: Holder, now: datetime) -> tuple[str, bytes, datetime]:
        """Return the chain (PEM), the SHA-256 of the certificate, and its end."""
        key = _key_of(request)
        end = min(now + LIFE, self._certificate.not_valid_after_utc)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder.id[:COMMON_NAME_MAX])])
        uri = x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/device/{holder.user_name}")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode() + self._text, certificate.fingerprint(SHA256()), end


def _key_of(request: str) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey:
    try:
        found = x509.load_pem_x509_csr(request.encode())
        key = found.public_key()
        valid = found.is_signature_valid
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        raise refuse("csr", "the certificate signing request cannot be read", "csr.form") from None
    if not valid:
        raise refuse("csr", "the signature of the certificate signing request does not hold", "csr.signature")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return key
    raise refuse("csr", f"keys are elliptic-curve, Ed25519, or RSA of {RSA_BITS_MIN} bits", "csr.key")
