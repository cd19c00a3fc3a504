"""Sent again: by clients, shuffled and across restarts, and by the broker's own messages after its memory of ids."""

import asyncio
from pathlib import Path
from typing import Any

from tests.faults.city import recorder, request_of
from tests.faults.lab import Lab
from tests.faults.lanes.outcome import Outcome
from tests.faults.ledger import OK, Batch, read_batches
from tests.faults.nemesis import Nemesis

from maasloop.bus.streams import OBSERVATIONS
from maasloop.testing.buses import core_bus

BATCHES = 300
MESSAGES = 200
WINDOW_S = 1
"""De-duplication window of the broker in this lane alone; the platform's own is ten minutes."""
NANOSECONDS = 1_000_000_000
LOAD_S = 2.0
SMALL = {"grpc_readings": 20}


async def replays(lab: Lab, nemesis: Nemesis) -> Outcome:
    """Send everything again in another order: rows stay as they are, and each repetition is a duplicate."""
    async with lab.load(**SMALL):
        await asyncio.sleep(LOAD_S)
    first = await lab.verdict()
    before = await _terms(lab)
    batches = [batch for batch, state in read_batches(Path(lab.ledgers[-1])) if state == OK]
    chosen = nemesis.random.sample(batches, min(BATCHES, len(batches)))
    await _send_all(lab, chosen)
    nemesis.note("replay by clients", batches=len(chosen))
    lab.stack.processes["nats"].kill9()
    lab.stack.processes["ingest"].kill9()
    await asyncio.sleep(1.0)
    await lab.ready()
    nemesis.random.shuffle(chosen)
    await _send_all(lab, chosen)
    nemesis.note("replay across a restart of broker and ingest", batches=len(chosen))
    again = await _by_broker(lab, nemesis)
    verdict = await lab.verdict()
    after = await _terms(lab)
    resent = 2 * sum(batch.count for batch in chosen) + again
    return Outcome.of(
        "replay, shuffled, across a restart and after the window",
        verdict,
        requirements={
            "rows stay as they were": verdict.rows == first.rows and first.good,
            "every repetition is a duplicate": after["duplicate"] - before["duplicate"] >= resent,
        },
        figures={"readings sent again": resent, "duplicates counted": after["duplicate"] - before["duplicate"]},
        notes=(f"the broker's window was {WINDOW_S} s in this lane instead of 600 s",),
    )


async def _send_all(lab: Lab, batches: list[Batch]) -> None:
    async with lab.stack.channel("ingest") as channel:
        record = recorder(channel)
        for start in range(0, len(batches), 8):
            together = batches[start : start + 8]
            await asyncio.gather(*(record(request_of(batch), timeout=30.0, wait_for_ready=True) for batch in together))


async def _by_broker(lab: Lab, nemesis: Nemesis) -> int:
    """Publish messages of the stream once more, with their own ids, after the broker has forgotten these."""
    async with core_bus(lab.stack, "faults-replay") as bus:
        info = await bus.api(f"STREAM.INFO.{OBSERVATIONS.name}")
        config = {**info["config"], "duplicate_window": WINDOW_S * NANOSECONDS}
        answer = await bus.api(f"STREAM.UPDATE.{OBSERVATIONS.name}", config)
        assert "error" not in answer, answer
        await asyncio.sleep(2.5 * WINDOW_S)
        last, readings = int(info["state"]["last_seq"]), 0
        sequences = nemesis.random.sample(range(1, last + 1), min(MESSAGES, last))
        for sequence in sequences:
            message: Any = await bus.client.jetstream().get_msg(OBSERVATIONS.name, sequence)
            headers = dict(message.headers)
            await bus.publish(message.subject, message.data, headers)
            readings += int(headers["maasloop-readings"])
        await bus.api(f"STREAM.UPDATE.{OBSERVATIONS.name}", info["config"])
    nemesis.note("replay of messages after the window", messages=len(sequences), readings=readings)
    return readings


async def _terms(lab: Lab) -> dict[str, int]:
    return dict((await lab.evidence()).terms)
