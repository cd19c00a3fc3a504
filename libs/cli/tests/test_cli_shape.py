"""The command line has every command it promises, answers at once, and fails with a sentence."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from maasloop.cli.moments import length, moment
from maasloop.cli.names import district_name, name_in_district, name_of
from maasloop.cli.nouns.watch import decoded
from maasloop.core.clock import FakeClock

PROMISED = [
    "status", "doctor", "import-observations", "up", "down", "reset", "subjects", "account", "trace-reading", "watch", "release", "demo",
    "devices list", "devices get", "devices import",
    "observations latest", "observations query", "observations watch",
    "commands list", "commands issue", "commands cancel", "commands watch",
    "signals explain", "signals travel-times",
    "overrides set", "overrides list", "overrides end",
    "policies apply", "policies list", "policies shadow-report",
    "alerts list", "alerts ack", "alerts resolve",
    "subscriptions list", "subscriptions add", "subscriptions remove", "deliveries list",
    "consent grant", "consent withdraw", "consent check",
    "claims create", "enrol", "credentials list", "credentials refusals", "credentials create-network-server",
    "audit verify", "audit export", "audit who-touched", "audit witness", "audit keys", "audit schema",
    "backup", "restore", "size", "rotate certificates", "rotate nats-users", "rotate passwords", "rotate command-key",
    "catalogue apply", "streams ensure", "database ensure", "preflight", "selftest", "cluster-secrets", "quarantine list", "quarantine replay", "rsmp-supervisor", "twin rsmp-site",
]  # fmt: skip
WITHOUT_JSON = {"up", "down", "reset", "demo", "subscriptions remove"} | {
    f"rotate {what}" for what in ("certificates", "nats-users", "passwords", "command-key")
}


@pytest.mark.parametrize("command", PROMISED)
def test_a_promised_command_explains_itself(maasloop: Any, command: str) -> None:
    """Each command has help, and prints JSON where it prints anything."""
    ended = maasloop(*command.split(), "--help")

    assert ended.status == 0
    assert command in WITHOUT_JSON or "--json" in ended.out


def test_help_imports_nothing_heavy() -> None:
    """The command line is put together without grpc, nats, protobuf, numpy and SUMO."""
    heavy = {"grpc", "nats", "google.protobuf", "numpy", "libsumo", "psycopg"}
    code = f"import sys; from maasloop.cli.main import build; build(); print({heavy!r} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert printed.strip() == "set()"


def test_without_a_stack_the_sentence_says_what_to_do(maasloop: Any, tmp_path: Any) -> None:
    """A command that needs the stack ends with status 3 and the next step."""
    ended = maasloop("--root", str(tmp_path), "devices", "list")

    assert ended.status == 3
    assert "make up" in ended.error
    assert ended.out == ""


def test_a_service_that_is_away_is_named(maasloop: Any) -> None:
    """A call that nobody answers ends with status 3 and its reason."""
    ended = maasloop("--address", "device-registry=127.0.0.1:1", "devices", "get", "noord/lamp-1")

    assert ended.status == 3
    assert "NEIGHBOUR_UNAVAILABLE" in ended.error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--address", "nonsense", "devices", "list"],
        ["devices", "get", "lamp-1"],
        ["devices", "list", "--box", "1,2,3"],
        ["devices", "list", "--state", "unknown"],
        ["observations", "query", "noord", "--from", "yesterday"],
        ["commands", "issue", "noord/lamp-1"],
        ["commands", "issue", "noord/lamp-1", "--level", "50", "--local"],
        ["overrides", "set", "noord", "--why", "x", "--until", "+1h", "--level", "1"],
        ["subscriptions", "add", "noord/me"],
        ["quarantine", "replay"],
        ["account", "--devices"],
        ["size"],
        ["size", "--readings-per-second", "1", "--door", "pigeon"],
        ["trace-reading", "noord/a", "pm25", "yesterday"],
    ],
)
def test_wrong_usage_ends_with_status_2(maasloop: Any, arguments: list[str]) -> None:
    """What cannot be meant is refused before anybody is called."""
    assert maasloop(*arguments).status == 2


@pytest.mark.parametrize("text", ["[]", '{"districts": 5}', '{"districts": ["a"]}', '{"cities": []}', "{"])
def test_a_catalogue_that_is_none_is_refused(maasloop: Any, tmp_path: Path, text: str) -> None:
    """The sentence says what the file must be."""
    file = tmp_path / "catalogue.json"
    file.write_text(text)

    ended = maasloop("catalogue", "apply", str(file))

    assert ended.status == 2
    assert "JSON" in ended.error


def test_doctor_names_what_it_looked_at(maasloop: Any) -> None:
    """Every finding has a verdict, and what is missing comes with the command that mends it."""
    ended = maasloop("doctor", "--json")
    findings = json.loads(ended.out)

    assert {"PostgreSQL", "nats-server"} <= {finding["subject"] for finding in findings}
    assert all(finding["good"] or finding["mend"] for finding in findings)
    assert ended.status == (0 if all(finding["good"] for finding in findings) else 1)


def test_identities_of_a_second_server_are_made_when_asked(maasloop: Any, tmp_path: Path) -> None:
    """Its configuration names users that are there, and only their owner can read it."""
    assert maasloop("identities", str(tmp_path)).status == 0
    assert not (tmp_path / "nats-leaf.conf").exists()

    assert maasloop("identities", str(tmp_path), "--leaf", "nats-leaf://10.0.0.5:7422").status == 0

    file = tmp_path / "nats-leaf.conf"
    remotes = json.loads(file.read_text().removeprefix("leafnodes { remotes: ").removesuffix(" }\n"))
    assert [remote["url"] for remote in remotes] == ["nats-leaf://10.0.0.5:7422"] * 2
    assert all(Path(remote["credentials"]).exists() for remote in remotes)
    assert file.stat().st_mode & 0o777 == 0o600


def test_subjects_are_listed(maasloop: Any) -> None:
    """The registry of subjects can be read from a terminal, and by a program."""
    rows = json.loads(maasloop("subjects", "--json").out)
    lines = maasloop("subjects").out.splitlines()

    assert len(lines) == len(rows) + 1
    assert lines[0].split("\t")[0] == "subject"


def test_moments_are_relative_or_absolute() -> None:
    """Times count from now, or stand for themselves; one without an offset is UTC."""
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))

    assert moment("now", clock) == clock.now()
    assert moment("-90m", clock) == clock.now() - timedelta(minutes=90)
    assert moment("+1d", clock) == clock.now() + timedelta(days=1)
    assert moment("2026-03-01T01:00:00+01:00") == clock.now()
    assert moment("2026-03-01") == clock.now()
    assert length("1.5h") == timedelta(minutes=90)
    for text in ("soon", "-5", "5 m"):
        with pytest.raises(typer.BadParameter):
            moment(text)


def test_names_may_be_short() -> None:
    """A short name is completed, a whole one stays."""
    assert district_name("noord") == district_name("districts/noord") == "districts/noord"
    assert name_in_district("noord/a", "devices") == "districts/noord/devices/a"
    assert name_in_district("districts/noord/devices/a", "devices") == "districts/noord/devices/a"
    assert name_of("dim", "policies") == name_of("policies/dim", "policies") == "policies/dim"


def test_any_body_is_printed() -> None:
    """JSON stays JSON, text stays text, other bytes are hexadecimal digits, and so is what should be a message."""
    assert decoded("", "dev.v1.noord.a.up.observations-json", b'{"a": 1}') == {"a": 1}
    assert decoded("", "x", b"hello") == "hello"
    assert decoded("", "x", b"\xff\x00") == {"bytes": "ff00"}
    assert decoded("maasloop.api.device.v1.DevicesChanged", "x", b"\xff") == {"undecodable": "ff"}
    assert decoded("maasloop.api.unknown.v1.Thing", "x", b"\xff") == {"bytes": "ff"}
