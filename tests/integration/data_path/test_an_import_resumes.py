"""An import that is killed goes on where it was, and every line of the file is a row once."""

import asyncio
import json
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from maasloop.testing.program import program

if TYPE_CHECKING:
    from tests.integration.data_path.conftest import City

LINES = 120_000
START_S = 1_750_000_000


def _command(city: "City", file: Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    root = str(city.stack.directory.root)
    arguments = ["--root", root, "import-observations", str(file), "--district", "noord", "--json"]
    command = (sys.executable, "-c", "from maasloop.cli.main import run; run()", *arguments)
    return program(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def test_a_killed_import_goes_on_and_a_wrong_line_is_named(shared_city: "City", tmp_path: Path) -> None:
    """After kill -9 the next run begins at the last answer; the one line that is wrong is named by its number."""
    file = tmp_path / "history.csv"
    rows = [f"{START_S + at};station;pm25;{at % 1_000}" for at in range(LINES)]
    rows[77_777] = "never;station;pm25;1"
    file.write_text("\n".join(["time;device;property;value", *rows, ""]))
    mark = tmp_path / "history.csv.progress"

    async def begun() -> bool:
        return mark.exists()

    async with _command(shared_city, file):
        await shared_city.until(begun)
    reached = json.loads(mark.read_text())
    async with _command(shared_city, file) as second:
        out, error = await second.communicate()

    assert 0 < reached["offset"] < file.stat().st_size
    assert json.loads(out) == {"accepted": LINES - 1, "refused": 1}, error
    assert second.returncode == 1
    assert not mark.exists()
    assert (tmp_path / "history.csv.refused").read_text().startswith("77779\tPAYLOAD_UNDECODABLE")
    balance = await shared_city.settled()
    count = shared_city.rows(
        "SELECT count(*) FROM timeseries.numbers AS r JOIN timeseries.series AS s ON s.id = r.series"
        " WHERE device = 'station' AND observed_property = 'pm25' AND time < '2026-01-01'"
    )
    assert count == [(LINES - 1,)]
    assert balance.lost_count == 0
