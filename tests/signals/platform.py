"""One run through the six services: ``python -m tests.signals.platform RUN_AS_JSON DIRECTORY`` prints its outcome.

Street, loops and field devices are those of the other runs, as a district of the twin: readings go in over MQTT, and the
next second begins when the decision on this one is at its devices. A decision that comes late ends the run: what the
street would do then is the machine's doing.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
from tests.signals.outcome import Told, outcome_of
from tests.signals.plan import Outcome, Run
from tests.signals.standstill import Standstill

from maasloop.api.command.v1.events_pb2 import DecisionRecorded
from maasloop.bus.subjects import DECISION_RECORDED
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import KeySetFile
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.testing.providers import scratch_directory
from maasloop.twin.demo.places import Connections, connected_to
from maasloop.twin.demo.registration import register_catalogue, register_district
from maasloop.twin.doors.http import HttpDoor
from maasloop.twin.doors.rpc import grpc_door, nats_door
from maasloop.twin.play.assemble import Course, Sockets, build_play, connected
from maasloop.twin.play.cast import CLOCK, gather_cast
from maasloop.twin.play.catalogue import UNIT_OF
from maasloop.twin.play.faults import FaultyField
from maasloop.twin.play.run import Play, clock_payload, first_second
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import SimulationOptions, StreetSimulation
from maasloop.twin.street.site import read_site

DISTRICT = "bench"
LAMPS = 4
SPEED = 1e6
"""Street seconds a wall second at most: nobody waits for the wall."""
DECISION_DEADLINE_S = 30.0
DEADLINE_AFTER_KILL_S = 0.01
BEFORE_S = 50
"""Street seconds before the first one, in which actuation gets to know the junctions."""
NEWS_S = 0.5
"""Wall time between two of them."""
NOT_CARRIED_OUT = (
    "SELECT coalesce(nullif(reason, ''), state) FROM actuation.commands WHERE state IN ('REFUSED', 'FAILED')"
)
RELEASES = "SELECT count(*) FROM actuation.commands WHERE setpoint LIKE '%localControl%'"


class NotDecided(Exception):
    """The platform decided late, or not at all."""


def perform(run: Run, directory: Path) -> Outcome:
    """Run it; SUMO's files stay in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    site = read_site(load_scenario(run.scenario))
    options = SimulationOptions(routes=True)
    street = StreetSimulation(site, seed=run.seed, duration_s=run.seconds, work_dir=directory, options=options)
    (directory / "net.txt").write_text(f"{site.scenario.net}\n", encoding="utf-8")
    told = asyncio.run(_perform(run, street))
    services = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = time.process_time() + services.ru_utime + services.ru_stime
    return outcome_of(run, street, replace(told, processor_s=processor_s))


async def _perform(run: Run, street: StreetSimulation) -> Told:
    with scratch_directory() as root:
        async with AsyncExitStack() as stack:
            local = await stack.enter_async_context(LocalStack(root, StackOptions(restart=False, durable_initdb=False)))
            connections = await stack.enter_async_context(connected_to(local.state(ready=True)))
            play = await _play_of(run, street, local, connections)
            async with connected(play, connections.bus):
                await _make_known(play, connections)
                with street:
                    told = await _play(run, street, play, local)
            with psycopg.connect(local.postgres_dsn) as database:
                refused = Counter(str(reason) for (reason,) in database.execute(NOT_CARRIED_OUT))
                (releases,) = database.execute(RELEASES).fetchone() or (0,)
    return replace(told, refused=refused, releases=int(releases))


async def _play_of(run: Run, street: StreetSimulation, local: LocalStack, connections: Connections) -> Play:
    """Register the district, and return its play without faults on purpose."""
    site, clock = street.site, SystemClock()
    cast = gather_cast(DISTRICT, site, lamp_count=LAMPS)
    await register_catalogue(connections.registry)
    await register_district(connections.registry, cast)
    sockets = Sockets(
        mqtt=local.mqtt,
        http=HttpDoor(connections.http, DISTRICT, UNIT_OF),
        grpc=grpc_door(DISTRICT, connections.ingest),
        nats=nats_door(DISTRICT, connections.bus),
        command_keys=KeySetFile(local.directory.command_keys),
    )
    cycles_s = sorted({junction.local.cycle_s for junction in site.junctions})
    begin_s = first_second(clock.now_us(), run.seconds, site.scenario.begin_s, cycles_s)
    play = build_play(cast, street, sockets, Course(begin_s, run.seconds, SPEED, run.seed, DECISION_DEADLINE_S), clock)
    play.faults = FaultyField(run.seed, begin_s=begin_s, end_s=begin_s)
    return play


async def _make_known(play: Play, connections: Connections) -> None:
    """Let the clock tick before the first second until a decision names every junction."""
    unknown = set(play.street.controllers)

    async def hear(message: object) -> None:
        record = DecisionRecorded.FromString(getattr(message, "data", b""))
        unknown.difference_update(reason.target for reason in record.reasons)

    await connections.bus.listen(DECISION_RECORDED.subject(DISTRICT, CLOCK), hear)
    for second in range(play.begin_s - BEFORE_S, play.begin_s):
        await play.doors.send(clock_payload(second, []))
        await play.decisions.wait(second, deadline_s=NEWS_S)
        if not unknown:
            return
        await play.clock.sleep(NEWS_S)
    message = f"actuation does not know {', '.join(sorted(unknown))}"
    raise NotDecided(message)


async def _play(run: Run, street: StreetSimulation, play: Play, local: LocalStack) -> Told:
    """Play every second; what came late before a kill fails the run."""
    standstill = Standstill(street.site)
    local_after_kill_s: int | None = None

    async def after_second(passed_s: int) -> None:
        nonlocal local_after_kill_s
        standstill.see(passed_s)
        killed = run.kill_at is not None and passed_s >= run.kill_at
        if not killed and (play.tally.late_decisions or play.tally.late_readings):
            message = f"the decision on second {passed_s} was late"
            raise NotDecided(message)
        if run.kill_at is None:
            return
        if passed_s == run.kill_at - 1:
            local.kill9("actuation")
            play.deadline_s = DEADLINE_AFTER_KILL_S
        remote = any(controller.device.remote for controller in play.street.controllers.values())
        if killed and local_after_kill_s is None and not remote:
            local_after_kill_s = passed_s - run.kill_at

    await play.run(after_second)
    return Told(
        gridlock=standstill.found,
        processor_s=0.0,
        decisions_ms=play.tally.decided_ms,
        local_after_kill_s=local_after_kill_s,
    )


if __name__ == "__main__":
    print(json.dumps(perform(Run.from_json(sys.argv[1]), Path(sys.argv[2])).to_json()))
