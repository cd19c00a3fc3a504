"""TLS 1.3 with certificates on both sides (core, "Security")."""

import ssl
from pathlib import Path


def supervisor_context(certificate: Path, key: Path, site_authority: Path) -> ssl.SSLContext:
    """Return a context that shows a certificate, and wants one of every site from ``site_authority``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with(context, certificate, key, site_authority)


def site_context(certificate: Path, key: Path, supervisor_authority: Path) -> ssl.SSLContext:
    """Return a context that shows a certificate, and wants one for the supervisor's host name."""
    return _with(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key, supervisor_authority)


def _with(context: ssl.SSLContext, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    return context
