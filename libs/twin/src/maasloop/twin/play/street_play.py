"""One second of the whole street: signals show, traffic moves, lamps burn, and everybody says what there is to say."""

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Protocol

from maasloop.twin.devices.cabinet import Cabinet, MountedLamp, Trouble
from maasloop.twin.devices.controller import SignalController, loop_readings
from maasloop.twin.devices.cyclists import Cyclist
from maasloop.twin.devices.lamp import Lamp
from maasloop.twin.devices.presence import PresenceField
from maasloop.twin.devices.readings import Reading
from maasloop.twin.devices.stations import Stations
from maasloop.twin.play.cast import BICYCLE, LIGHT_SENSOR, RAIN_GAUGE, WEARABLE, Cast
from maasloop.twin.play.payload import Payload, Voice
from maasloop.twin.play.sites import Sites
from maasloop.twin.street.simulation import LoopReading

CYCLISTS = 8
STANDING = 0.8
"""Share of a second that a loop is covered by a vehicle that stands."""
TROUBLED_SHARE = 0.01
"""Share of the lamps that refuse, and as many that fall silent."""


class Traffic(Protocol):
    """Moving traffic, as ``StreetSimulation`` moves it."""

    def show(self, junction_id: str, state: str) -> None:
        """Show a state at a junction from the next second on."""
        ...

    def step(self) -> int:
        """Let one second pass."""
        ...

    def signal_states(self) -> dict[str, str]:
        """Return the state that every junction shows."""
        ...

    def loop_readings(self) -> dict[str, LoopReading]:
        """Return what every loop saw during the last second."""
        ...

    def vehicle_positions(self) -> dict[str, tuple[float, float]]:
        """Return x and y in metres of every vehicle."""
        ...


class EmptyStreet:
    """Traffic that has gone home: signals show what they are told, nothing moves."""

    def __init__(self, loops: Iterable[str]) -> None:
        """Know the loops that see nothing."""
        self._loops = dict.fromkeys(loops, LoopReading(0, 0.0))
        self._states: dict[str, str] = {}
        self._second = 0
        self.shown: list[dict[str, str]] = []
        """What the signals showed, second by second, by junction."""

    def show(self, junction_id: str, state: str) -> None:
        """Show a state at a junction."""
        self._states[junction_id] = state

    def step(self) -> int:
        """Let one second pass."""
        self.shown.append(dict(self._states))
        self._second += 1
        return self._second

    def signal_states(self) -> dict[str, str]:
        """Return the state that every junction shows."""
        return dict(self._states)

    def loop_readings(self) -> dict[str, LoopReading]:
        """Return empty loops."""
        return self._loops

    def vehicle_positions(self) -> dict[str, tuple[float, float]]:
        """Return nobody."""
        return {}


class StreetPlay:
    """The devices of a district over a running simulation. Call ``advance`` with rising street seconds."""

    def __init__(
        self, cast: Cast, street: Traffic, sites: Sites | None = None, *, begin_s: int, duration_s: int, seed: int
    ) -> None:
        """Put everybody in place before second ``begin_s``; ``sites`` is where those belong that speak RSMP."""
        self.cast = cast
        self.street: Traffic = street
        random = Random(seed)
        self.sites = sites or Sites()
        self.controllers: dict[str, SignalController] = {}
        for junction in cast.site.junctions:
            if junction.id in cast.detector_units:
                self.sites.add(junction, cast.site_id(junction), begin_s - 1)
            else:
                self.controllers[junction.id] = SignalController(junction)
        self.cabinets = self._mount(random, begin_s)
        self._field = PresenceField([(lamp.x, lamp.y) for lamp in cast.lamps])
        self._cyclists = [Cyclist(cast.net, random) for _ in range(CYCLISTS)]
        self._stations = Stations(begin_s=begin_s, duration_s=duration_s, seed=seed)
        self.second = begin_s
        """What the clock of the street shows."""
        self.queues: dict[str, int] = {}
        self.told_by_sites = 0
        """States of signals that are on their way over RSMP, of the last second."""

    def _mount(self, random: Random, begin_s: int) -> dict[str, Cabinet]:
        lamp_ids = [lamp.id for lamp in self.cast.lamps]
        troubled = random.sample(lamp_ids, 2 * max(1, round(len(lamp_ids) * TROUBLED_SHARE)))
        half = len(troubled) // 2
        trouble = dict.fromkeys(troubled[:half], Trouble.REFUSING) | dict.fromkeys(troubled[half:], Trouble.SILENT)
        return {
            cabinet: Cabinet(
                cabinet,
                [MountedLamp(place, Lamp(place.facts), trouble.get(place.id, Trouble.NONE)) for place in places],
                begin_s=begin_s,
            )
            for cabinet, places in self.cast.cabinets.items()
        }

    @property
    def lamps(self) -> Iterator[MountedLamp]:
        """Return every lamp."""
        return (mounted for cabinet in self.cabinets.values() for mounted in cabinet.lamps.values())

    def clear(self) -> None:
        """Send everybody home; devices stay."""
        self.street = EmptyStreet(self.cast.site.loops)
        self._cyclists = self._cyclists[:1]

    @property
    def shown_afterwards(self) -> list[dict[str, str]]:
        """Return what the signals showed in each second since everybody went home, by junction."""
        return self.street.shown if isinstance(self.street, EmptyStreet) else []

    def advance(self, second: int) -> list[Payload]:
        """Let street second ``second`` pass and return what is said about it."""
        self.second = second
        for junction_id, controller in self.controllers.items():
            self.street.show(junction_id, controller.show(second))
        for junction_id, state in self.sites.show(second).items():
            self.street.show(junction_id, state)
        self.street.step()
        for cyclist in self._cyclists:
            cyclist.ride()
        vehicles = list(self.street.vehicle_positions().values())
        movers = [*vehicles, *(cyclist.place for cyclist in self._cyclists)]
        seen = self._field.detect(movers)
        present = {lamp.id: bool(found) for lamp, found in zip(self.cast.lamps, seen, strict=True)}
        payloads = [*self._traffic(second), *self._lighting(second, present), *self._quiet(second, len(vehicles))]
        return [payload for payload in payloads if payload.readings]

    def before_dawn(self, second: int) -> list[Payload]:
        """Return what is said before the play begins: that it is dark."""
        self.second = second
        return [Payload(LIGHT_SENSOR, Voice.MQTT_JSON, self._stations.darkness(LIGHT_SENSOR, second))]

    def _traffic(self, second: int) -> Iterator[Payload]:
        states, loops = self.street.signal_states(), self.street.loop_readings()
        self.told_by_sites = self.sites.tell(second, loops)
        for junction in self.cast.site.junctions:
            controller = self.controllers.get(junction.id)
            if controller is None:
                speaker, readings = self.cast.detector_units[junction.id], loop_readings(junction, second, loops)
            else:
                speaker, readings = junction.id, controller.readings(second, states[junction.id], loops)
            stop_lines = [loop.id for loop in junction.loops if loop.kind == "stop-line"]
            self.queues[junction.id] = sum(loops[loop_id].occupancy > STANDING for loop_id in stop_lines)
            yield Payload(speaker, Voice.MQTT_PB, readings)

    def _lighting(self, second: int, present: Mapping[str, bool]) -> Iterator[Payload]:
        for cabinet in self.cabinets.values():
            yield Payload(cabinet.id, Voice.MQTT_PB, cabinet.tick(second, present))

    def _quiet(self, second: int, vehicles: int) -> Iterator[Payload]:
        cast, stations = self.cast, self._stations
        for number, station in enumerate(cast.air_stations):
            yield Payload(station, Voice.HTTP_SENML, stations.air(station, number, second))
        for number, station in enumerate(cast.noise_stations):
            yield Payload(station, Voice.MQTT_JSON, stations.noise(station, number, second, vehicles))
        for number, container in enumerate(cast.waste_containers):
            yield Payload(container, Voice.MQTT_JSON, stations.waste(container, number, second))
        yield Payload(RAIN_GAUGE, Voice.MQTT_JSON, stations.rain(RAIN_GAUGE, second))
        yield Payload(LIGHT_SENSOR, Voice.MQTT_JSON, stations.light(LIGHT_SENSOR, second))
        yield Payload(cast.parking_bays[0], Voice.NATS, stations.parking(cast.parking_bays, second))
        crowd: list[Reading] = []
        for number, counter in enumerate(cast.people_counters):
            crowd += stations.crowd(counter, number, second)
        yield Payload(cast.people_counters[0], Voice.GRPC, crowd)
        place = cast.to_position(*self._cyclists[0].place)
        yield Payload(BICYCLE, Voice.HTTP_JSON, stations.bicycle(BICYCLE, second, place), personal=True)
        yield Payload(WEARABLE, Voice.GRPC, stations.wearable(WEARABLE, second), personal=True)
