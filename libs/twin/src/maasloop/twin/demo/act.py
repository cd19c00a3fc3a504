"""The act itself: make the district known, play it, withdraw a consent half-way, and draw the account."""

import asyncio
import contextlib
import importlib.metadata
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from maasloop.core.clock import Clock
from maasloop.core.errors import MaasloopError
from maasloop.stack.state import StackState
from maasloop.twin.demo.account import Account, Accountant
from maasloop.twin.demo.alerting import Receivers, create_alerting
from maasloop.twin.demo.background import in_background
from maasloop.twin.demo.earlier import quiet_demos
from maasloop.twin.demo.enrolment import enrol
from maasloop.twin.demo.picture import Picture, Scene
from maasloop.twin.demo.places import Connections
from maasloop.twin.demo.registration import create_policy, grant_consents, register_catalogue, register_district
from maasloop.twin.demo.rows import Rows
from maasloop.twin.demo.watching import Watching
from maasloop.twin.demo.withdrawal import ConsentStory, Withdrawal
from maasloop.twin.doors.command_keys import GivenKeys
from maasloop.twin.doors.http import HttpDoor
from maasloop.twin.doors.rpc import grpc_door, nats_door
from maasloop.twin.play.assemble import Course, Sockets, build_play, connected
from maasloop.twin.play.baseline import Baseline
from maasloop.twin.play.cast import BICYCLE, Cast
from maasloop.twin.play.catalogue import UNIT_OF
from maasloop.twin.play.delay_so_far import DelayMeter
from maasloop.twin.play.run import Play
from maasloop.twin.play.sites import Supervision
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.sumo import libsumo

QUIET_TIMEOUT_S = 3.0
PROJECTION_WAIT_S = 2.0
"""Changes of the registry and of consent are at their followers well within this."""


@dataclass(frozen=True)
class Props:
    """What an act is given."""

    state: StackState
    connections: Connections
    receivers: Receivers
    baseline: Baseline
    supervision: Supervision
    console: Console
    clock: Clock
    work_dir: Path
    tell: Callable[[str], None]
    interfere: Callable[[int], Awaitable[None]]
    """Called after every street second with the seconds passed."""


@dataclass(frozen=True)
class Outcome:
    """What an act leaves."""

    play: Play
    account: Account
    withdrawal: Withdrawal
    simulation: StreetSimulation
    versions: dict[str, str]


async def perform(cast: Cast, course: Course, props: Props) -> Outcome:
    """Perform the act of one district and return what is to be summarised; ended early, nothing that acts stays."""
    try:
        return await _perform(cast, course, props)
    except asyncio.CancelledError:
        with contextlib.suppress(MaasloopError, TimeoutError):
            await asyncio.wait_for(quiet_demos(props.connections), QUIET_TIMEOUT_S)
        raise


async def _perform(cast: Cast, course: Course, props: Props) -> Outcome:
    connections, clock = props.connections, props.clock
    await quiet_demos(connections)
    records, policy = await _register(cast, props)
    watching = Watching(connections, cast.district)
    rows = Rows(_timeseries_dsn(props.state), cast.district, cast.detector_units)
    simulation = StreetSimulation(
        cast.site, seed=course.seed, duration_s=course.duration_s, work_dir=props.work_dir / "street"
    )
    keys = GivenKeys(connections.registry, clock)
    play = build_play(cast, simulation, _sockets(cast, props, keys), course, clock)
    if props.state.nats_users:
        play.doors.identify(await enrol(connections.registry, cast.district, play.doors.devices, keys.take))
        props.tell(f"{len(play.doors.devices)} of them enrolled by one-time claims")
    else:
        await keys.fetch()
    story = ConsentStory(connections, cast.district, records[cast.rider], BICYCLE, play.tally, clock)
    accountant = Accountant(connections, play, watching, rows, clock)
    await watching.listen()
    async with in_background(watching.run()), in_background(keys.run()), connected(play, connections.bus):
        await clock.sleep(PROJECTION_WAIT_S)
        async with play.street.sites.linked():
            props.tell(_hands(play))
            props.tell("the clock of the street begins to tick")
            await play.warm_up()
            with simulation:
                await _play(play, story, Scene(play, watching, props.baseline, DelayMeter()), props)
            props.tell("back to local control; drawing the account")
            await accountant.end_control(policy)
            account = await accountant.draw()
        await accountant.deliveries_done()
        await quiet_demos(connections)
    return Outcome(play, account, story.seen, simulation, await _versions(props, rows))


def _hands(play: Play) -> str:
    by_stages, by_bands = len(play.street.controllers), len(play.street.sites.by_id)
    return f"{by_stages} junctions are led by stages, {by_bands} over RSMP by bands"


async def _register(cast: Cast, props: Props) -> tuple[dict[str, str], str]:
    """Register everything; return the consent record of each person and the name of the policy."""
    connections = props.connections
    await register_catalogue(connections.registry)
    imported = await register_district(connections.registry, cast)
    props.tell(f"{imported.created_count} devices registered in district {cast.district}")
    records = await grant_consents(connections.consent, cast)
    policy = await create_policy(connections.actuation, cast)
    await create_alerting(connections.notification, cast, props.receivers)
    return records, policy


async def _play(play: Play, story: ConsentStory, scene: Scene, props: Props) -> None:
    telling: list[asyncio.Task[None]] = []
    with Picture(scene, props.console, props.clock) as picture:

        async def after_second(passed_s: int) -> None:
            scene.delay.see()
            if passed_s == play.duration_s // 2:
                telling.append(asyncio.create_task(story.tell(), name="withdrawal"))
            picture.show(passed_s)
            await props.interfere(passed_s)

        await play.run(after_second)
    await asyncio.gather(*telling)


def _sockets(cast: Cast, props: Props, keys: GivenKeys) -> Sockets:
    connections, district = props.connections, cast.district
    return Sockets(
        mqtt=props.state.mqtt_listener(),
        http=HttpDoor(connections.http, district, UNIT_OF),
        grpc=grpc_door(district, connections.ingest),
        nats=nats_door(district, connections.bus),
        rsmp=props.supervision,
        command_keys=keys,
    )


def _timeseries_dsn(state: StackState) -> str:
    return state.service_dsns["timeseries"]


async def _versions(props: Props, rows: Rows) -> dict[str, str]:
    postgres, timescale = await rows.versions()
    nats = props.connections.bus.client.connected_server_version
    return {
        "maasloop": importlib.metadata.version("maasloop-twin"),
        "python": platform.python_version(),
        "nats-server": f"{nats.major}.{nats.minor}.{nats.patch}",
        "postgresql": postgres.split(" ", maxsplit=1)[0],
        "timescaledb": timescale,
        "sumo": str(libsumo.getVersion()[1]).removeprefix("SUMO "),
    }
