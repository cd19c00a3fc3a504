"""What a person gets wrong is told in one line, and never by a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest

NOBODY = ["--address", "timeseries=127.0.0.1:1", "--address", "actuation=127.0.0.1:1"]
NO_TEXT = b"\xff\xfe\x00"


@pytest.fixture(name="files")
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which commands run here, with files that are of no use."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-text").write_bytes(NO_TEXT)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "empty.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["nosuch"], 2, "No such command 'nosuch'; see maasloop --help"),
        (["devices", "list", "--box", "1,2,3"], 2, "a box is west,south,east,north"),
        (["size"], 2, "Missing option '--readings-per-second'; see maasloop size --help"),
        (["size", "--readings-per-second", "1e308"], 2, "no city is as large as that"),
        ([*NOBODY, "policies", "apply", "list.yaml"], 2, "a policy is a mapping"),
        ([*NOBODY, "policies", "apply", "empty.yaml"], 2, "a policy is a mapping"),
        ([*NOBODY, "policies", "apply", "no-text"], 2, "no-text is no text"),
        (["audit", "verify", "--export", "empty.yaml", "--checkpoint", "no-text"], 2, "no-text is no text"),
        (["audit", "verify", "--export", "empty.yaml", "--key", "no-text"], 2, "no-text is no text"),
        (["audit", "verify", "--export", "missing"], 1, "missing: No such file or directory"),
        (["audit", "verify", "--dsn", "nonsense"], 1, "database: "),
        (["audit", "archive", "ingest", "archives", "--checkpoint", "empty.yaml"], 2, "name the witness by --witness"),
        ([*NOBODY, "observations", "query", "noord", "--from", "-9999999d"], 2, "before the year 1"),
        ([*NOBODY, "observations", "query", "noord", "--from", "-99999999999999d"], 2, "longer than anything lasts"),
        ([*NOBODY, "observations", "query", "noord", "--to", "9999-12-31T23:00:00-14:00"], 2, "after the year 9999"),
        (["watch", "a b"], 2, "a subject is words with dots between"),
        (["watch", "a.>.b"], 2, "a subject is words with dots between"),
        (["credentials", "revoke", "noord/lamp-1"], 2, "the whole name of a credential"),
        (["revoke", "integrator", "nobody"], 1, "no integrator nobody was added here"),
        (["revoke", "service", "nobody"], 1, "no service nobody has a credential here"),
        (["--nats", "::::", "streams", "ensure"], 1, ":::: is no address like nats://HOST:PORT"),
        (["--nats", "nats://127.0.0.1:99999", "streams", "ensure"], 1, "is no address like nats://HOST:PORT"),
        (["login", "--issuer", "nonsense"], 2, "must begin with https://"),
        ([*NOBODY, "login", "--api-key-file", "no-text"], 2, "no-text is no text"),
        ([*NOBODY, "export", "noord", "--output", "out.parquet"], 3, "NEIGHBOUR_UNAVAILABLE"),
    ],
)
def test_one_line_says_what_is_wrong(
    maasloop: Any, files: Path, arguments: list[str], status: int, problem: str
) -> None:
    """The line is on standard error, and the status is not 0."""
    ended = maasloop("--root", str(files), *arguments)

    assert (ended.status, ended.out) == (status, "")
    assert ended.error.startswith("maasloop: ")
    assert ended.error.count("\n") == 1
    assert problem in ended.error


@pytest.mark.parametrize("command", ["certificates", "nats-users", "passwords", "command-key"])
def test_where_nothing_was_started_there_is_nothing_to_rotate(maasloop: Any, files: Path, command: str) -> None:
    """The sentence says so, and what to do."""
    ended = maasloop("--root", str(files), "rotate", command)

    assert ended.status == 3
    assert "no stack was started here" in ended.error
    assert "make up" in ended.error


@pytest.mark.parametrize("name", ["witness.key", "log.cosigned"])
@pytest.mark.parametrize("content", [NO_TEXT, b"nonsense"])
def test_a_damaged_file_of_a_witness_is_named(maasloop: Any, files: Path, name: str, content: bytes) -> None:
    """A witness whose memory cannot be read begins no new one."""
    (files / name).write_bytes(content)

    ended = maasloop("--root", str(files), "audit", "witness", "--once", "--directory", str(files))

    assert ended.status == 2
    assert name in ended.error
    assert (files / name).read_bytes() == content


def test_a_certificate_without_its_key_is_told(maasloop: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that the environment names are looked at before anybody is called."""
    for name in ("CERTIFICATE", "KEY", "CA"):
        monkeypatch.setenv(f"MAASLOOP_CLI__TLS_{name}_FILE", str(files / "no-text"))

    ended = maasloop("--root", str(files), "--address", "device-registry=127.0.0.1:1", "devices", "list")

    assert ended.status == 1
    assert "no certificate and its key" in ended.error


@pytest.mark.parametrize("kept", ["{", json.dumps({"expire_time": "soon", "access_token": "x"})])
def test_a_damaged_login_is_replaced_by_the_next_one(maasloop: Any, files: Path, kept: str) -> None:
    """Calls say that it cannot be read; signing in does not need it."""
    file = files / ".maasloop" / "secrets" / "login.json"
    file.parent.mkdir(parents=True)
    file.write_text(kept)

    called = maasloop("--root", str(files), "--address", "device-registry=127.0.0.1:1", "devices", "list")
    signed_in = maasloop("--root", str(files), "login", "--issuer", "https://127.0.0.1:1", "--no-browser")

    assert (called.status, "sign in again" in called.error) == (1, True)
    assert "shows no document of an OpenID provider" in signed_in.error
