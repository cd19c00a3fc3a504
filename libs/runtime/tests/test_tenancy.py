"""A tenant that leaves is noticed while the process runs; its work ends, and what is done for the others goes on."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from maasloop.bus.tenants import ALONE, CITY, Tenant, tenants_text
from maasloop.core.clock import FakeClock
from maasloop.runtime.tenancy import Tenancy

BOTH = (Tenant(CITY, ("noord",)), Tenant("buren", ("haven",)))
BUREN = BOTH[1]


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.json"
    _declare(path, *BOTH)
    return path


def _declare(file: Path, *tenants: Tenant) -> None:
    file.write_text(tenants_text(tenants), encoding="utf-8")


class _Work:
    """Pulls until it is told to end."""

    def __init__(self) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()

    async def pull(self, stop: asyncio.Event) -> None:
        """Pull, and finish what is in hand."""
        self.began.set()
        await stop.wait()
        self.ended.set()

    async def last(self) -> None:
        """Work until it is cancelled."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def fail(self) -> None:
        """Fail at once."""
        message = "a fault of the program"
        raise RuntimeError(message)


@pytest.mark.parametrize("file", [None, Path("/none/tenants.json")])
def test_a_city_without_the_file_has_its_own_tenant(file: Path | None) -> None:
    """Looking changes nothing there."""
    tenancy = Tenancy(file, FakeClock())
    tenancy.look()
    assert tenancy.present == tenancy.declared == ALONE


def test_who_is_named_no_more_has_left_until_the_next_start(file: Path) -> None:
    """It is told once, and neither it nor one that is named for the first time is asked for before a start."""
    tenancy = Tenancy(file, FakeClock())
    with capture_logs() as logs:
        for tenants in (BOTH, BOTH[:1], BOTH[:1], (*BOTH, Tenant("kade", ("kade",)))):
            _declare(file, *tenants)
            tenancy.look()

    assert tenancy.present == BOTH[:1]
    assert [(log["event"], log["tenant"]) for log in logs] == [("tenant_left", "buren")]


@pytest.mark.parametrize("text", ["", "[]", '{"city": 7}', '{"city": ["*"]}'])
def test_a_file_that_cannot_be_read_takes_nobody_out(file: Path, text: str) -> None:
    """What is half written or wrong is told, and changes nothing."""
    tenancy = Tenancy(file, FakeClock())
    file.write_text(text, encoding="utf-8")
    with capture_logs() as logs:
        tenancy.look()

    assert tenancy.present == BOTH
    assert [log["event"] for log in logs] == ["tenants_unreadable"]


async def test_work_for_who_left_ends_and_its_task_lasts(file: Path) -> None:
    """A pull finishes as at a shutdown, other work is cancelled, and neither task ends: the process would."""
    tenancy, stop = Tenancy(file, FakeClock()), asyncio.Event()
    pulled, lasted, city = _Work(), _Work(), _Work()
    tasks = [
        asyncio.create_task(tenancy.pulling(BUREN, pulled.pull)(stop)),
        asyncio.create_task(tenancy.pulling(BOTH[0], city.pull)(stop)),
        asyncio.create_task(tenancy.lasting(BUREN, lasted.last)()),
    ]
    for work in (pulled, lasted, city):
        await work.began.wait()
    _declare(file, BOTH[0])
    tenancy.look()
    await pulled.ended.wait()
    await lasted.ended.wait()
    still = ([task.done() for task in tasks], city.ended.is_set())
    stop.set()
    await asyncio.gather(*tasks[:2])
    tasks[2].cancel()

    assert still == ([False, False, False], False)
    assert city.ended.is_set()


async def test_a_shutdown_ends_the_work_of_who_is_present(file: Path) -> None:
    """A tenant that stays is drained as the city is."""
    tenancy, stop, work = Tenancy(file, FakeClock()), asyncio.Event(), _Work()
    task = asyncio.create_task(tenancy.pulling(BUREN, work.pull)(stop))
    await work.began.wait()
    stop.set()
    await task

    assert work.ended.is_set()


async def test_work_that_fails_ends_the_process(file: Path) -> None:
    """It is not taken for a tenant that left."""
    with pytest.raises(ExceptionGroup) as raised:
        await Tenancy(file, FakeClock()).lasting(BUREN, _Work().fail)()
    assert isinstance(raised.value.exceptions[0], RuntimeError)
