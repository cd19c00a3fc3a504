"""The command line checks, exports, searches and witnesses a log that a service's keeper has signed."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import typer

from maasloop.audit.entries import Entry, Verb
from maasloop.audit.notes import SigningKey
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.bus import connection as bus_connection
from maasloop.bus.ensure import ensure
from maasloop.cli.main import NO_ANSWER
from maasloop.cli.nouns import audit_schedule
from maasloop.cli.selftest.city import until
from maasloop.core.clock import SystemClock
from maasloop.postgres.pool import open_pool
from maasloop.runtime.audit_log import audit_log
from maasloop.stack.audit_keys import AuditFiles
from maasloop.stack.ports import free_ports

ENOUGH = 7
SIGNED_TIMEOUT_S = 45.0
DEVICE = "districts/noord/devices/lamp-1"


@dataclass
class City:
    """A checkout with keys, a database and a broker, in which ``consent`` keeps its log."""

    root: Path
    dsn: str
    auditor_dsn: str
    nats_url: str

    @property
    def files(self) -> AuditFiles:
        """Return where keys and checkpoints are."""
        return AuditFiles(self.root / ".maasloop")

    @property
    def checkpoint(self) -> Path:
        """Return the file of the newest checkpoint."""
        return self.files.checkpoints / "consent.checkpoint"

    def entry(self, resource: str) -> str:
        """Return an entry about a resource."""
        return Entry(time_us=1, verb=Verb.CHANGED, actor="operator/local", resource=resource).encode()

    def add(self, *bodies: str) -> None:
        """Add entries, and wait until the keeper has signed and published them."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("SELECT audit.append(%s::text[])", [list(bodies)])
        asyncio.run(self._signed(self.checkpoint.read_text() if self.checkpoint.exists() else ""))

    async def _signed(self, before: str) -> None:
        async with (
            open_pool(self.dsn, name="test") as pool,
            bus_connection.connect(self.nats_url, name="test") as bus,
        ):
            await ensure(bus)
            log = audit_log("consent", self.files.secrets, self.files.checkpoints, pool, bus, SystemClock())
            task = asyncio.ensure_future(log.tasks["checkpoints"]())
            await until(lambda: asyncio.to_thread(self._signed_since, before), SIGNED_TIMEOUT_S)
            self.published = await until(lambda: _more_than(self.published, bus), SIGNED_TIMEOUT_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _signed_since(self, before: str) -> bool:
        return self.checkpoint.exists() and self.checkpoint.read_text() != before

    published: int = 0


async def _more_than(count: int, bus: bus_connection.Bus) -> int:
    """Return how many entries the stream has; nothing while it has no more than so many."""
    found = int((await bus.api("STREAM.INFO.AUDIT"))["state"]["messages"])
    return found if found > count else 0


@pytest.fixture(name="city")
def _city(tmp_path: Path, service_dsn: Callable[[str], str], postgres_dsn: str, nats_url: str) -> City:
    city = City(tmp_path, service_dsn("consent"), postgres_dsn, nats_url)
    city.files.ensure(["consent", "ingest"])
    city.add(city.entry(DEVICE), city.entry("districts/noord"))
    return city


@pytest.fixture(name="audit")
def _audit(maasloop: Any, city: City, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("MAASLOOP_CLI__AUDIT_DSN", city.auditor_dsn)
    return lambda *arguments: maasloop("--root", str(city.root), "--nats", city.nats_url, "audit", *arguments)


def test_a_log_is_checked_where_it_is_and_as_a_file(audit: Callable[..., Any], city: City, tmp_path: Path) -> None:
    """Stored and exported, a log agrees with an old checkpoint; the file is checked without a database."""
    kept, file = tmp_path / "kept.checkpoint", tmp_path / "consent.jsonl"
    shutil.copy(city.checkpoint, kept)
    city.add(*(city.entry(f"districts/noord/devices/lamp-{number}") for number in range(5)))

    (stored,) = json.loads(audit("verify", "--checkpoint", str(kept), "--json").out)
    exported = audit("export", "consent", str(file))
    checked = audit("verify", "--export", str(file), "--checkpoint", str(kept), "--dsn", "nothing")

    assert (stored["holds"], stored["entries"], stored["kept"]) == (True, 7, [2])
    assert (exported.status, checked.status) == (0, 0)
    assert "holds: 7 entries" in checked.out
    assert "begins with the 2 entries signed earlier" in checked.out


def test_a_changed_file_does_not_hold(audit: Callable[..., Any], city: City, tmp_path: Path) -> None:
    """One changed letter ends with status 1 and the place; a key that is not known, or is none, is named."""
    file = tmp_path / "consent.jsonl"
    assert audit("export", "consent", str(file)).status == 0
    file.write_text(file.read_text().replace("lamp-1", "lamp-2"))

    broken = audit("verify", "--export", str(file))

    assert broken.status == 1
    assert "DOES NOT HOLD: entry 1 does not follow" in broken.out
    other = str(SigningKey.generate("other/audit/consent").verifying)
    assert "no public key" in audit("verify", "--export", str(file), "--key", other).out
    assert audit("verify", "--export", str(file), "--key", "nonsense").status == 1
    assert audit("verify", "--export", str(city.checkpoint)).status == 2


def test_a_changed_table_does_not_hold(audit: Callable[..., Any], city: City) -> None:
    """Who owns the server and changes a row is found out."""
    with psycopg.connect(city.auditor_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit.entries DISABLE TRIGGER only_grows")
        connection.execute("UPDATE audit.entries SET body = replace(body, 'local', 'nobody') WHERE position = 2")

    assert audit("verify").status == 1


def test_who_touched_what(audit: Callable[..., Any], city: City) -> None:
    """A resource is found with what lies below it, and a person by the name that the log does not hold."""
    hidden = Pseudonyms(bytes.fromhex(city.files.pseudonyms_key.read_text().strip())).resource("dataSubjects/p-1")
    city.add(city.entry(hidden), city.entry("districts/noordwest"))

    def resources(name: str) -> list[str]:
        return sorted(row["resource"] for row in json.loads(audit("who-touched", name, "--json").out))

    assert resources(DEVICE) == [DEVICE]
    assert resources("districts/noord") == ["districts/noord", DEVICE]
    assert resources("dataSubjects/p-1") == [hidden]
    assert "p-1" not in hidden
    assert audit("who-touched", "districts/zuid").out.splitlines()[1:] == []


def test_a_witness_remembers(audit: Callable[..., Any], city: City, tmp_path: Path) -> None:
    """A witness cosigns what continues, catches up from an export, and keeps both pasts of a fork as evidence."""
    first = audit("witness", "--once")
    city.add(city.entry("districts/zuid"))
    second = audit("witness", "--once")
    assert "cosigned maasloop.internal/audit/consent: 2 entries" in first.out
    assert "3 entries" in second.out
    (seen,) = city.files.witness.glob("*.cosigned")
    assert audit("verify", "--checkpoint", str(seen)).status == 0

    file = tmp_path / "consent.jsonl"
    audit("export", "consent", str(file))
    assert audit("witness", "--export", str(file)).status == 0

    _make_anew(city, audit)
    city.checkpoint.unlink()
    city.add(city.entry("districts/oost"), city.entry("districts/oost"), city.entry("districts/oost"))
    forked = audit("witness", "--once")

    assert forked.status == 1
    assert "FORK" in forked.out
    assert len(list(city.files.witness.glob("fork-*.txt"))) == 1


def test_a_deployment_gets_its_keys(audit: Callable[..., Any], tmp_path: Path) -> None:
    """Keys are made once, 0600, and kept; what is public fits what is secret."""
    files = AuditFiles(tmp_path / "city")
    assert audit("keys", str(files.state)).status == 0
    made = {path.name: path.read_text() for path in files.secrets.iterdir()}
    assert audit("keys", str(files.state)).status == 0

    assert {path.name: path.read_text() for path in files.secrets.iterdir()} == made
    assert {path.stat().st_mode & 0o777 for path in files.secrets.iterdir()} == {0o600}
    assert str(SigningKey.parse(made["ingest.key"]).verifying) in {text.strip() for text in files.log_keys()}


def _make_anew(city: City, audit: Callable[..., Any]) -> None:
    """Make the schema as an administrator does."""
    with psycopg.connect(city.auditor_dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA audit CASCADE")
        for statement in json.loads(audit("schema", "--json").out):
            connection.execute(statement.encode())


def test_what_a_witness_has_seen_leaves_the_database(audit: Callable[..., Any], city: City, tmp_path: Path) -> None:
    """Archived entries are deleted and no other, the keeper goes on, and an old checkpoint holds over archive and table."""
    first, archives = tmp_path / "first.checkpoint", tmp_path / "archives"
    shutil.copy(city.checkpoint, first)
    city.add(city.entry("districts/zuid"))
    audit("witness", "--once")
    (seen,) = city.files.witness.glob("*.cosigned")
    cosigned = tmp_path / "third.cosigned"
    shutil.copy(seen, cosigned)
    asked = ("archive", "consent", str(archives), "--checkpoint", str(cosigned), "--dsn", city.auditor_dsn)
    assert "needs what lies behind" in audit(*asked).error
    city.add(city.entry("districts/oost"))
    city.add(city.entry("districts/west"))
    assert audit(*asked[:-4], "--checkpoint", str(city.checkpoint), *asked[-2:]).status == 2

    done = json.loads(audit(*asked, "--json").out)
    city.add(city.entry("districts/noord"))

    assert (done["archived"], done["deleted"]) == (3, 3)
    with psycopg.connect(city.auditor_dsn, autocommit=True) as connection:
        assert connection.execute("SELECT min(position), max(position) FROM audit.entries").fetchone() == (4, 6)
        connection.execute("SET ROLE maasloop_audit")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="lie in no archive"):
            connection.execute("DELETE FROM audit.entries WHERE position = 4")
    (alone,) = json.loads(audit("verify", "--json").out)
    (whole,) = json.loads(audit("verify", "--archive", str(archives), "--checkpoint", str(first), "--json").out)
    assert (alone["holds"], alone["entries"], alone["beginsAfter"]) == (True, 6, 3)
    assert (whole["holds"], whole["entries"], whole["beginsAfter"], whole["kept"]) == (True, 6, 0, [2])
    assert "needs the archive" in audit("verify", "--checkpoint", str(first)).out


def test_an_archive_that_was_changed_does_not_hold(audit: Callable[..., Any], city: City, tmp_path: Path) -> None:
    """One letter of a file outside the database is found from the checkpoint of before, without that database."""
    archives, file = tmp_path / "archives", tmp_path / "rest.jsonl"
    first = tmp_path / "first.checkpoint"
    shutil.copy(city.checkpoint, first)
    audit("witness", "--once")
    (seen,) = city.files.witness.glob("*.cosigned")
    cosigned = tmp_path / "second.cosigned"
    shutil.copy(seen, cosigned)
    city.add(city.entry("districts/zuid"))
    city.add(city.entry("districts/oost"))
    asked = ("archive", "consent", str(archives), "--checkpoint", str(cosigned), "--dsn", city.auditor_dsn)
    assert audit(*asked).status == 0
    assert audit("export", "consent", str(file)).status == 0
    checked = ("verify", "--export", str(file), "--archive", str(archives), "--checkpoint", str(first))
    assert audit(*checked, "--dsn", "nothing").status == 0

    (archive,) = archives.glob("*.jsonl")
    archive.write_text(archive.read_text().replace("lamp-1", "lamp-2"))
    assert "entry 1 does not follow" in audit(*checked).out


def test_logs_are_archived_an_interval_behind_their_witness(
    audit: Callable[..., Any], city: City, tmp_path: Path
) -> None:
    """The first time notes what was cosigned, the next one archives it; without room nothing is written or deleted."""
    archives = tmp_path / "archives"
    asked = ("archive-all", str(archives), "--dsn", city.auditor_dsn, "--json")
    audit("witness", "--once")
    assert (audit(*asked).status, [path.name for path in archives.iterdir()]) == (0, ["consent.next"])
    city.add(city.entry("districts/zuid"))
    city.add(city.entry("districts/oost"))
    audit("witness", "--once")

    full = audit(*asked, "--free-min-mib", str(2**40))
    assert (full.status, "MiB left" in full.error, list(archives.glob("*.jsonl"))) == (1, True, [])
    done = json.loads(audit(*asked).out)
    later = audit(*asked)
    (whole,) = json.loads(audit("verify", "--archive", str(archives), "--json").out)

    assert (done["archived"], done["deleted"]) == (2, 2)
    assert (later.status, "needs what lies behind" in later.out) == (0, True)
    assert (whole["holds"], whole["entries"], whole["beginsAfter"]) == (True, 4, 0)
    assert len(list(archives.glob("*.jsonl"))) == 1


def test_an_interval_counts_from_what_was_noted(
    audit: Callable[..., Any], city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is started again archives nothing that is younger than the interval, and what is older at once."""
    archives = tmp_path / "archives"
    asked = ("archive-all", str(archives), "--dsn", city.auditor_dsn, "--every-hours", "168", "--json")
    _look(monkeypatch, times=1)
    audit("witness", "--once")
    assert audit(*asked).status == ENOUGH
    noted = (archives / "consent.next").read_text()
    city.add(city.entry("districts/zuid"))
    city.add(city.entry("districts/oost"))
    audit("witness", "--once")

    _look(monkeypatch, times=2)
    assert audit(*asked).status == ENOUGH
    kept = (list(archives.glob("*.jsonl")), (archives / "consent.next").read_text())
    monkeypatch.setattr(audit_schedule, "HOUR_S", 0)
    _look(monkeypatch, times=1)
    done = json.loads(audit(*asked).out)

    assert kept == ([], noted)
    assert (done["archived"], done["deleted"]) == (2, 2)
    assert (archives / "consent.next").read_text() != noted


def test_a_database_that_is_away_is_asked_again(
    audit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever archives for ever says so at each look; whoever archives once ends with it."""
    (port,) = free_ports(1)
    asked = ("archive-all", str(tmp_path / "archives"), "--dsn", f"postgresql://nobody@127.0.0.1:{port}/none")
    _look(monkeypatch, times=3)
    lasting, once = audit(*asked, "--every-hours", "1"), audit(*asked)

    assert (lasting.status, lasting.error.count("lets nobody in")) == (ENOUGH, 3)
    assert once.status == NO_ANSWER


def _look(monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Let a command that lasts for ever look so many times, and end."""
    left = iter(range(times - 1))

    def sleep(_seconds: float) -> None:
        if next(left, None) is None:
            raise typer.Exit(ENOUGH)

    monkeypatch.setattr(audit_schedule, "time", SimpleNamespace(sleep=sleep))
