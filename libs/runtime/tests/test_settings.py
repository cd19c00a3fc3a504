"""Settings come from the environment and a file, are checked whole, and nothing unknown is swallowed."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from maasloop.runtime.settings import ServiceSettings, UnknownSetting

DSN = {
    "MAASLOOP_AIR_LAB__POSTGRES_DSN": "postgresql://me:hunter2@localhost/db",
    "MAASLOOP_AIR_LAB__INSECURE_ON_LOOPBACK": "true",
}
SECRET = SecretStr("dbname=x")


class Limits(BaseModel):
    """A nested block."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows_max: int = 10


class AirLabSettings(ServiceSettings, service="air-lab"):
    """Settings of a service that exists in tests only."""

    lamp_address: str = "127.0.0.1:0"
    """Address of a neighbour."""
    limits: Limits = Limits()
    """Limits of the laboratory."""


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read where the environment is silent; variables with the service's prefix reach the fields, nested ones too."""
    file = tmp_path / "settings.toml"
    file.write_text('log_level = "debug"\n[limits]\nrows_max = 5\n', encoding="utf-8")
    for name, value in DSN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAASLOOP_AIR_LAB__LOG_LEVEL", "error")
    monkeypatch.setenv("MAASLOOP_AIR_LAB__LIMITS__ROWS_MAX", "7")
    monkeypatch.setenv("MAASLOOP_AIR_LAB__SETTINGS_FILE", str(file))

    settings = AirLabSettings.load()

    assert (settings.log_level, settings.limits.rows_max) == ("error", 7)


def test_an_unknown_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing mistake does not become a default; other services' variables are none of ours."""
    monkeypatch.setenv("MAASLOOP_INGEST__LOG_LEVLE", "debug")
    monkeypatch.setenv("MAASLOOP_AIR_LAB__LOG_LEVLE", "debug")

    with pytest.raises(UnknownSetting, match=r"MAASLOOP_AIR_LAB__LOG_LEVLE$"):
        AirLabSettings.load()


def test_an_unknown_key_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """The same for the file."""
    file = tmp_path / "settings.yaml"
    file.write_text("postgres_dsn: x\nlog_levle: debug\n", encoding="utf-8")

    with pytest.raises(ValidationError, match="log_levle"):
        AirLabSettings.load(file)


def _files(tmp_path: Path) -> dict[str, Any]:
    names = ("tls_certificate", "tls_key", "tls_ca", "nats_credentials", "nats_ca")
    files = {f"{name}_file": tmp_path / name for name in names}
    for file in files.values():
        file.touch()
    return {**files, "audit_keys_directory": tmp_path}


@pytest.mark.parametrize(
    "missing", ["tls_certificate_file", "tls_key_file", "tls_ca_file", "nats_credentials_file", "nats_ca_file"]
)
def test_without_certificates_a_service_does_not_start(tmp_path: Path, missing: str) -> None:
    """Each of the files must be named and there; with them it may listen anywhere."""
    files = _files(tmp_path)
    settings = AirLabSettings(postgres_dsn=SECRET, grpc_address="0.0.0.0:80", **files)
    assert settings.tls is not None
    with pytest.raises(ValueError, match=f"nobody would be identified: {missing} must name a file"):
        AirLabSettings(postgres_dsn=SECRET, **(files | {missing: None})).require_identities()
    files[missing].unlink()
    with pytest.raises(ValueError, match=missing):
        _ = AirLabSettings(postgres_dsn=SECRET, **files).tls


def test_without_its_keys_a_service_does_not_start(tmp_path: Path) -> None:
    """A service that signs or seals names the file of its key; on loopback, for benches, it may have none."""

    class Signing(AirLabSettings, service="air-lab"):
        """A service with a key."""

        keys: ClassVar[tuple[str, ...]] = ("signing_key_file",)
        signing_key_file: Path | None = None

    files = _files(tmp_path)
    with pytest.raises(ValueError, match="signing_key_file must name a file"):
        Signing(postgres_dsn=SECRET, **files).require_identities()
    Signing(postgres_dsn=SECRET, **files, signing_key_file=files["tls_key_file"]).require_identities()
    Signing(postgres_dsn=SECRET, insecure_on_loopback=True).require_identities()


def test_without_an_audit_log_a_service_does_not_start(tmp_path: Path) -> None:
    """Who identifies callers writes down what they do: the directory of its keys must be there."""
    files = _files(tmp_path) | {"audit_keys_directory": tmp_path / "nowhere"}
    with pytest.raises(ValueError, match="audit_keys_directory must name"):
        AirLabSettings(postgres_dsn=SECRET, **files).require_identities()


def test_a_password_that_is_guessed_keeps_a_service_from_starting(tmp_path: Path) -> None:
    """A weak password of the database is refused with a sentence; a random one, and none, are not."""
    files = _files(tmp_path)
    weak = AirLabSettings(postgres_dsn=SecretStr("postgresql://me:maasloop-maasloop@db/db"), **files)
    with pytest.raises(ValueError, match="the secret in postgres_dsn is too weak"):
        weak.require_identities()
    for dsn in ("postgresql://me:Jx8rVw2qLm5ZtYc9@db/db", "postgresql://me@db/db?passfile=/run/pgpass"):
        AirLabSettings(postgres_dsn=SecretStr(dsn), **files).require_identities()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grpc_address", "0.0.0.0:80"),
        ("health_address", "[::]:80"),
        ("lamp_address", "city.example:80"),
        ("nats_url", "nats://127.0.0.1:4222,tls://10.0.0.1:4222"),
        ("postgres_dsn", SecretStr("host=127.0.0.1,10.0.0.1 password=hunter2")),
        ("postgres_dsn", SecretStr("hunter2")),
    ],
)
def test_who_identifies_nobody_stays_on_loopback(field: str, value: object) -> None:
    """No listener, neighbour, broker or database may lie elsewhere; the sentence names it and no secret."""
    given: dict[str, Any] = {"postgres_dsn": SECRET, "insecure_on_loopback": True, field: value}
    with pytest.raises(ValueError, match=f"beyond loopback: {field}") as refused:
        AirLabSettings(**given).require_identities()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.1.2.3:80", "[::1]:80", "localhost:80"])
def test_loopback_is_allowed_in_words(address: str) -> None:
    """All of 127.0.0.0/8, ::1, localhost and local sockets, where ``insecure_on_loopback`` is set."""
    settings = AirLabSettings(postgres_dsn=SECRET, grpc_address=address, insecure_on_loopback=True)
    assert settings.tls is None
    assert settings.beyond_loopback() == []


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings' text nor an error of validation holds the password."""
    for name, value in DSN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAASLOOP_AIR_LAB__DRAIN_S", "hunter2")

    with pytest.raises(ValidationError) as caught:
        AirLabSettings.load()

    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("MAASLOOP_AIR_LAB__DRAIN_S", "1")
    assert "hunter2" not in repr(AirLabSettings.load())


def test_settings_do_not_change_after_they_are_read() -> None:
    """They are frozen."""
    with pytest.raises(ValidationError):
        AirLabSettings(postgres_dsn=SECRET, insecure_on_loopback=True).log_level = "debug"


def test_the_schema_describes_every_field() -> None:
    """Each setting has its sentence in the JSON schema, from which the chart and the reference are made."""
    schema = AirLabSettings.model_json_schema()

    assert all("description" in field for field in schema["properties"].values())
    assert "listeners" not in schema["properties"]
    assert json.dumps(schema)
