"""The time of a district → devices that have been silent for too long on it.

Silence is only what was listened to: while messages wait to be heard, the time that counts is that of the last one that
was. A retired device is not silent but gone.
"""

from maasloop.core.clock import SECOND_US, Clock
from maasloop.notification.domain.alert import Signal
from maasloop.notification.domain.rule import AlertRule, SilenceWatch
from maasloop.notification.domain.street_clock import StreetClocks
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import Registry, Sightings

SILENT_PER_RULE_MAX = 100
"""Devices that one look at one rule tells of; the rest is told at the next look."""


class JudgeSilence:
    """Looks for silent devices."""

    def __init__(
        self, watchlist: Watchlist, sightings: Sightings, registry: Registry, clocks: StreetClocks, clock: Clock
    ) -> None:
        self._watchlist = watchlist
        self._sightings = sightings
        self._registry = registry
        self._clocks = clocks
        self._clock = clock

    async def __call__(self, heard_us: int) -> list[Signal]:
        """Return the signals of all districts; ``heard_us`` is the wall time up to which messages were heard."""
        self._sightings.watch(
            {(rule.district, watch.observed_property) for rule, watch in self._watchlist.all_silences()}
        )
        signals: list[Signal] = []
        for rule, watch in self._watchlist.all_silences():
            now_us = self._clocks.now_us(rule.district, heard_us, self._clock.monotonic_s())
            if now_us is not None:
                signals += await self._silent(rule, watch, now_us)
        return signals

    async def _silent(self, rule: AlertRule, watch: SilenceWatch, now_us: int) -> list[Signal]:
        before_us = now_us - int(watch.after_s * SECOND_US)
        known = self._watchlist.open_devices(rule.id)
        silent = self._sightings.silent(rule.district, watch.observed_property, before_us)
        found = []
        for sighting in [one for one in silent if one.device not in known][:SILENT_PER_RULE_MAX]:
            if await self._registry.retired(rule.district, sighting.device):
                self._sightings.forget(sighting)
                continue
            silent_s = (now_us - sighting.event_us) // SECOND_US
            # Just after the last reading, so that any newer one is newer than this.
            found.append(Signal(rule, sighting.device, sighting.event_us + 1, raises=True, shown=float(silent_s)))
        return found
