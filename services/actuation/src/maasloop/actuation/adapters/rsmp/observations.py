"""From what a site tells to readings of its devices, with the times of the site.

The state of signal groups is one character a group, as everywhere on the platform; start-up and disabled groups are
dark, for nobody may rely on what they show. What has no value, or one that the exchange list forbids, is no reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from maasloop.actuation.domain.reading import Reading
from maasloop.actuation.domain.signals.aspects import Aspect
from maasloop.rsmp.events import AggregatedStatusReported, AlarmReported, Event, StatusReported
from maasloop.rsmp.events import Reading as Told
from maasloop.rsmp.messages import Quality
from maasloop.rsmp.supervised import SupervisedSite

SIGNAL_STATE = "signal-state"
EVIDENCE = "controller-status"
"""Of a confirmed command: the status that showed it."""
ALARM = "alarm"
STATE_BYTES_MAX = 256
"""Longest state that ingest takes."""
NO_ALARM = "none"

_ASPECTS = {
    **dict.fromkeys("ABCDEFGP0", Aspect.RED),
    **dict.fromkeys("12345678", Aspect.GREEN),
    # Flashing green ends a green, as yellow does.
    **dict.fromkeys("9NO", Aspect.YELLOW),
    "c": Aspect.FLASHING,
}
_BITS = (
    "local-control",
    "no-communication",
    "high-priority-fault",
    "medium-priority-fault",
    "low-priority-fault",
    "in-use",
    "idle",
    "not-connected",
)
_WORDS = {"S0014.status": "signal-plan", "S0020.controlmode": "controller-mode", "S0023.status": "signal-bands"}
"""Statuses of the controller that are readings as they are."""
_COUNTS = {
    "vehicles": "vehicle-count",
    "speed": "vehicle-speed",
    "P": "car-count",
    "PS": "car-with-trailer-count",
    "L": "truck-count",
    "LS": "truck-with-trailer-count",
    "B": "bus-count",
    "SP": "tram-count",
    "MC": "motorcycle-count",
    "C": "cyclist-count",
    "F": "pedestrian-count",
}
_OF_DETECTORS = frozenset({"S0201", "S0202", "S0203", "S0204"})
_OF_CONTROLLER = frozenset({"S0205", "S0206", "S0207", "S0208"})


@dataclass(slots=True)
class Translator:
    """Knows one site's devices, and which of its alarms are active."""

    device: str
    """Of the controller."""
    site: SupervisedSite
    groups: tuple[str, ...]
    """Order of the platform's signal groups in a state text."""
    _alarms: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Device to alarm to whether it is active."""
    _told_alarms: dict[str, str] = field(default_factory=dict)
    _last_us: dict[str, int] = field(default_factory=dict)

    def readings(self, event: Event) -> list[Reading]:
        """Return what an event says."""
        match event:
            case StatusReported():
                return list(self._of_status(event))
            case AggregatedStatusReported():
                status = event.status
                words = [word for word, bit in zip(_BITS, status.bits, strict=True) if bit]
                return [self._word("controller-state", status.time, " ".join(words) or "none")]
            case AlarmReported():
                return list(self._alarm(event))
            case _:
                return []

    def evidence(self, code: str, told: tuple[Told, ...], seen: datetime) -> Reading:
        """Return the reading that proves a command; no two have the same time, for each must be stored."""
        time_us = max(_us(seen), self._last_us.get(EVIDENCE, 0) + 1)
        self._last_us[EVIDENCE] = time_us
        shown = " ".join(f"{each.code}.{each.name}={each.value}" for each in told)
        return Reading(self.device, EVIDENCE, time_us, state=_cut(f"{code} {shown}"))

    def _of_status(self, event: StatusReported) -> Iterator[Reading]:
        values = {
            f"{each.code}.{each.name}": each.value
            for each in event.readings
            if isinstance(each.value, str) and each.quality in {Quality.RECENT, Quality.OLD}
        }
        detector = self.site.detector_logics.get(event.component)
        for name, value in values.items():
            code, _, part = name.partition(".")
            if name == "S0001.signalgroupstatus":
                yield self._word(SIGNAL_STATE, event.time, self._shown(value))
            elif name == "S0002.detectorlogicstatus":
                for device, mark in zip(self.site.detector_logics.values(), value, strict=False):
                    if mark in "01":
                        yield Reading(device, "presence", _us(event.time), float(mark))
            elif name in _WORDS:
                yield self._word(_WORDS[name], event.time, value)
            elif code in _OF_DETECTORS and detector is not None:
                yield from _counted([detector], part, [value], event.time)
            elif code in _OF_CONTROLLER:
                yield from _counted([*self.site.detector_logics.values()], part, value.split(","), event.time)

    def _shown(self, text: str) -> str:
        """Return the platform's state text for the characters of S0001."""
        by_group = dict(zip(self.site.signal_groups.values(), text, strict=False))
        return "".join(_ASPECTS.get(by_group.get(group, ""), Aspect.DARK) for group in self.groups)

    def _alarm(self, event: AlarmReported) -> Iterator[Reading]:
        """Yield the active alarms of a device, all of them, where they changed: a rule sees when it is clear again."""
        report = event.report
        component = report.address.component
        device = self.site.detector_logics.get(component, self.device)
        own = component == self.site.controller or device != self.device
        name = report.code if own else f"{report.code}:{component}"
        alarms = self._alarms.setdefault(device, {})
        alarms[name] = report.active and not report.suspended
        state = _cut(" ".join(each for each, on in sorted(alarms.items()) if on) or NO_ALARM)
        if self._told_alarms.get(device) == state:
            # A site tells all its alarms after a handshake, inactive ones too.
            return
        self._told_alarms[device] = state
        time_us = max(_us(report.time), self._last_us.get(device, 0) + 1)
        self._last_us[device] = time_us
        yield Reading(device, ALARM, time_us, state=state)

    def _word(self, observed_property: str, time: datetime, state: str) -> Reading:
        return Reading(self.device, observed_property, _us(time), state=_cut(state) or "none")


def _counted(devices: list[str], part: str, texts: list[str], time: datetime) -> Iterator[Reading]:
    for device, text in zip(devices, texts, strict=False):
        if not text.isdecimal():
            # A lower bound of -1 says that there is no data.
            continue
        if part == "occupancy":
            yield Reading(device, "occupancy", _us(time), int(text) / 100)
        elif part in _COUNTS:
            yield Reading(device, _COUNTS[part], _us(time), float(text))


def _us(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)


def _cut(text: str) -> str:
    return text.encode()[:STATE_BYTES_MAX].decode(errors="ignore")
