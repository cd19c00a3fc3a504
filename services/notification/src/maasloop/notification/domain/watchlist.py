"""What to look at: rules by what they watch, and which devices have an open alert.

It is a copy of the tables, kept to spare them a question for every reading. Where it is stale a signal may be missing
or too many; what a signal means is decided beside the tables.
"""

from collections.abc import Iterable, Mapping, Sequence

from .alert import AlertKey
from .rule import AlertRule, CommandWatch, ObservationWatch, SilenceWatch

type ByProperty = Mapping[str, Sequence[AlertRule]]


class Watchlist:
    """Rules and open alerts, indexed."""

    def __init__(self) -> None:
        self._readings: dict[str, dict[str, list[AlertRule]]] = {}
        self._silences: dict[str, dict[str, list[AlertRule]]] = {}
        self._commands: dict[str, list[AlertRule]] = {}
        self._open: dict[str, set[str]] = {}
        self._since: list[tuple[AlertKey, bool]] = []

    def begin(self) -> None:
        """Say that the tables are about to be read: what changes from here on outlives ``replace``."""
        self._since.clear()

    def replace(self, rules: Iterable[AlertRule], open_alerts: Iterable[AlertKey]) -> None:
        """Take over all rules and all open alerts; disabled rules watch nothing."""
        readings: dict[str, dict[str, list[AlertRule]]] = {}
        silences: dict[str, dict[str, list[AlertRule]]] = {}
        commands: dict[str, list[AlertRule]] = {}
        for rule in rules:
            if rule.disabled:
                continue
            if isinstance(rule.watch, CommandWatch):
                commands.setdefault(rule.district, []).append(rule)
                continue
            index = readings if isinstance(rule.watch, ObservationWatch) else silences
            index.setdefault(rule.district, {}).setdefault(rule.watch.observed_property, []).append(rule)
        self._readings, self._silences, self._commands = readings, silences, commands
        since, self._since = self._since, []
        self._open = {}
        for key, is_open in (*((key, True) for key in open_alerts), *since):
            self._mark(key, is_open=is_open)

    def opened(self, key: AlertKey) -> None:
        """Remember an open alert."""
        self._since.append((key, True))
        self._mark(key, is_open=True)

    def closed(self, key: AlertKey) -> None:
        """Forget an alert that is over."""
        self._since.append((key, False))
        self._mark(key, is_open=False)

    def _mark(self, key: AlertKey, *, is_open: bool) -> None:
        devices = self._open.setdefault(key.rule, set())
        (devices.add if is_open else devices.discard)(key.device)

    def readings(self, district: str) -> ByProperty:
        """Return the rules over readings of a district, by observed property."""
        return self._readings.get(district, {})

    def silences(self, district: str) -> ByProperty:
        """Return the no-data rules of a district, by observed property."""
        return self._silences.get(district, {})

    def commands(self, district: str) -> Sequence[AlertRule]:
        """Return the rules over command outcomes of a district."""
        return self._commands.get(district, ())

    def all_silences(self) -> Iterable[tuple[AlertRule, SilenceWatch]]:
        """Return every no-data rule with what it watches."""
        for by_property in self._silences.values():
            for rules in by_property.values():
                for rule in rules:
                    if isinstance(rule.watch, SilenceWatch):
                        yield rule, rule.watch

    def open_devices(self, rule: str) -> frozenset[str] | set[str]:
        """Return the devices that have an open alert of a rule."""
        return self._open.get(rule, frozenset())
