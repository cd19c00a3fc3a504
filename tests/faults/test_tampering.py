"""What the checkers read from real servers can fail: each thing that is tampered with is noticed, by the checker meant for it."""

from collections.abc import AsyncIterator
from typing import LiteralString

import pytest
from psycopg import AsyncConnection
from tests.faults.checkers import NEVER_AT_REST, judge
from tests.faults.city import DEVICES_A_DISTRICT
from tests.faults.evidence import read
from tests.faults.lab import Lab, running

from maasloop.bus.streams import OBSERVATIONS
from maasloop.testing.buses import core_bus

TIMEOUT_S = 180
FIRST = """
    (series, time) = (SELECT series, min(time) FROM numbers_7d GROUP BY series HAVING count(*) > 1 ORDER BY 1 LIMIT 1)
"""
"""The oldest row of a series that has others."""
ADDED = """
    INSERT INTO numbers_90d (series, time, receipt_time, value)
    SELECT series, time + interval '1 day', receipt_time, value FROM numbers_7d LIMIT 1
"""
TAMPERING: tuple[tuple[LiteralString, set[str]], ...] = (
    (f"DELETE FROM numbers_7d WHERE {FIRST}", {"lost", "balance against rows", "rollups"}),
    (f"UPDATE numbers_7d SET value = value + 0.5e9 WHERE {FIRST}", {"lost", "phantom", "rollups"}),
    (f"UPDATE numbers_7d SET time = time + interval '1 ms' WHERE {FIRST}", {"phantom", "rollups"}),
    (ADDED, {"phantom", "twice", "balance against rows", "rollups", "latest"}),
    ("UPDATE minutes_7d SET count = count + 1", {"rollups"}),
    ("UPDATE hours_7d SET sum = sum * 1.001", {"rollups"}),
    ("DELETE FROM minutes_7d", {"rollups"}),
    ("UPDATE latest SET value = value + 1", {"latest"}),
    ("UPDATE positions_in_streams SET sequence = sequence - 1", {"positions"}),
    ("UPDATE custody SET accepted = accepted + 1", {"balance", "balance against streams"}),
    ("UPDATE custody SET stored = stored - 1, duplicate = duplicate + 1", {"balance against rows"}),
    ("UPDATE custody SET door = 'http' WHERE door = 'grpc'", {"doors below the ledger"}),
    (
        "UPDATE custody SET accepted = accepted - 1",
        {"balance", "balance against streams", "balance below the ledger", "doors below the ledger"},
    ),
    ("UPDATE producers SET lost = lost + 1", {"lost by running totals"}),
)
"""What is changed in the schema of timeseries, each alone, and the faults that there are then."""


@pytest.fixture(name="lab")
async def _lab() -> AsyncIterator[Lab]:
    async with running() as lab:
        for device in (0, 1, DEVICES_A_DISTRICT, 0):
            await lab.send(device)
        yield lab


@pytest.mark.integration
@pytest.mark.timeout(TIMEOUT_S)
async def test_every_checker_notices_what_was_tampered_with(lab: Lab) -> None:
    """Good evidence is good; a change of a row, a rollup, a position, an account or a message is seen where it is."""
    verdict = await lab.verdict()
    assert verdict.good, verdict.wrong()
    assert verdict.buckets > 0
    assert verdict.faults.keys() - {NEVER_AT_REST} == set().union(*(expected for _, expected in TAMPERING))
    async with (
        await AsyncConnection.connect(lab.stack.postgres_dsn, autocommit=True) as connection,
        core_bus(lab.stack) as bus,
    ):
        await connection.execute("SET search_path = timeseries, public")
        for statement, expected in TAMPERING:
            async with connection.transaction(force_rollback=True):
                done = await connection.execute(statement)
                assert done.rowcount > 0, statement
                found = judge(lab.ledger(), await read(connection, bus)).wrong()
            assert found.keys() == expected, statement
        answer = await bus.api(f"STREAM.MSG.DELETE.{OBSERVATIONS.name}", {"seq": 2})
        assert answer.get("success"), answer
        found = judge(lab.ledger(), await read(connection, bus)).wrong()
    assert found.keys() == {"balance against streams"}
