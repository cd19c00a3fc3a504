"""Settings come from the environment and a file, are checked whole, and nothing unknown is swallowed."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from maasloop.runtime.settings import ServiceSettings, UnknownSetting

DSN = {"MAASLOOP_AIR_LAB__POSTGRES_DSN": "postgresql://me:hunter2@localhost/db"}
SECRET = SecretStr("x")


class Limits(BaseModel):
    """A nested block."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows_max: int = 10


class AirLabSettings(ServiceSettings, service="air-lab"):
    """Settings of a service that exists in tests only."""

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


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "city.example:80"])
def test_a_listener_beyond_loopback_needs_a_word(address: str) -> None:
    """Without allow_insecure_bind another address is refused, with it named for the warning."""
    with pytest.raises(ValidationError, match="allow_insecure_bind"):
        AirLabSettings(postgres_dsn=SECRET, grpc_address=address)

    allowed = AirLabSettings(postgres_dsn=SECRET, grpc_address=address, allow_insecure_bind=True)
    assert allowed.insecure_listeners() == [f"grpc_address={address}"]


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.1.2.3:80", "[::1]:80", "localhost:80"])
def test_loopback_is_always_allowed(address: str) -> None:
    """All of 127.0.0.0/8, ::1 and localhost."""
    assert AirLabSettings(postgres_dsn=SECRET, grpc_address=address).insecure_listeners() == []


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings' text nor an error of validation holds the password."""
    monkeypatch.setenv("MAASLOOP_AIR_LAB__POSTGRES_DSN", DSN["MAASLOOP_AIR_LAB__POSTGRES_DSN"])
    monkeypatch.setenv("MAASLOOP_AIR_LAB__DRAIN_S", "hunter2")

    with pytest.raises(ValidationError) as caught:
        AirLabSettings.load()

    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("MAASLOOP_AIR_LAB__DRAIN_S", "1")
    assert "hunter2" not in repr(AirLabSettings.load())


def test_settings_do_not_change_after_they_are_read() -> None:
    """They are frozen."""
    with pytest.raises(ValidationError):
        AirLabSettings(postgres_dsn=SECRET).log_level = "debug"


def test_the_schema_describes_every_field() -> None:
    """Each setting has its sentence in the JSON schema, from which the chart and the reference are made."""
    schema = AirLabSettings.model_json_schema()

    assert all("description" in field for field in schema["properties"].values())
    assert "listeners" not in schema["properties"]
    assert json.dumps(schema)
