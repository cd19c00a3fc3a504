"""The listener for sites is open to the world with certificates only."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from maasloop.actuation.settings import ActuationSettings

DSN = "postgresql://localhost/none"
FILES = {f"rsmp_{name}": Path("x.pem") for name in ("certificate", "key", "site_authority")}


def _settings(**fields: object) -> ActuationSettings:
    own = {f"tls_{name}_file": Path(__file__) for name in ("certificate", "key", "ca")}
    return ActuationSettings(postgres_dsn=DSN, **own, **fields)  # type: ignore[arg-type]  # pydantic checks


def test_sites_may_come_from_anywhere_with_certificates() -> None:
    """With TLS the listener may be bound to any address; without, to loopback only."""
    assert _settings(rsmp_address="0.0.0.0:12111", **FILES).rsmp_certificate
    assert _settings(rsmp_address="127.0.0.1:12111").rsmp_certificate is None
    with pytest.raises(ValidationError, match="rsmp_address"):
        _settings(rsmp_address="0.0.0.0:12111")


@pytest.mark.parametrize("missing", FILES)
def test_half_a_certificate_is_refused(missing: str) -> None:
    """Certificate, key and authority are set together."""
    with pytest.raises(ValidationError, match="set together"):
        _settings(**{name: path for name, path in FILES.items() if name != missing})
