"""Signals → alerts, their events and their deliveries, in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import uuid4

import structlog

from maasloop.core.clock import Clock
from maasloop.core.reasons import Reason
from maasloop.notification.domain.alert import Alert, AlertKey, Announcement, Occasion, Signal, Standing, heard
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import AlertChange, Alerts
from maasloop.telemetry import metrics

RATE_WINDOW = timedelta(minutes=1)
PATIENCE_S = 1.0
"""A rule that raised all it may is not asked about new alerts for this long, so that a flood costs no transactions."""

CHANGES = metrics.counter("maasloop_notification_alert_changes_total", "Changes of alerts", ["occasion"])
REFUSED = metrics.counter("maasloop_notification_signals_refused_total", "Signals that raised nothing", ["reason"])

_log = structlog.get_logger()


class RaiseAlerts:
    """Takes signals over; repeating them changes nothing."""

    def __init__(self, alerts: Alerts, watchlist: Watchlist, clock: Clock, *, per_rule_minute_max: int) -> None:
        self._alerts = alerts
        self._watchlist = watchlist
        self._clock = clock
        self._per_rule_minute_max = per_rule_minute_max
        self._full_until_s: dict[str, float] = {}

    async def __call__(self, signals: Sequence[Signal]) -> list[Announcement]:
        """Store what the signals make of alerts, and return what was told."""
        signals = self._admitted(signals)
        if not signals:
            return []
        async with self._alerts.change() as change:
            known = await change.lock_rules(sorted({signal.rule.id for signal in signals}))
            living = [signal for signal in signals if signal.rule.id in known]
            standings = await change.standings(sorted({signal.key for signal in living}))
            left = await self._left(change, sorted(known))
            changed, announcements = self._advance(living, standings, left)
            await change.save(list(changed.values()), announcements)
        for alert in changed.values():
            (self._watchlist.opened if alert.open else self._watchlist.closed)(alert.key)
        for announcement in announcements:
            CHANGES.labels(announcement.occasion).inc()
        return announcements

    def _admitted(self, signals: Sequence[Signal]) -> list[Signal]:
        """Leave out what would only be refused."""
        now_s = self._clock.monotonic_s()
        full = {rule for rule, until_s in self._full_until_s.items() if now_s < until_s}
        admitted = [
            signal
            for signal in signals
            if signal.rule.id not in full or signal.device in self._watchlist.open_devices(signal.rule.id)
        ]
        if len(admitted) < len(signals):
            REFUSED.labels(Reason.RATE_LIMITED).inc(len(signals) - len(admitted))
        return admitted

    async def _left(self, change: AlertChange, rules: Sequence[str]) -> Counter[str]:
        """Return how many alerts each rule may still raise."""
        raised = await change.raised_since(rules, self._clock.now() - RATE_WINDOW)
        return Counter({rule: self._per_rule_minute_max - raised.get(rule, 0) for rule in rules})

    def _advance(
        self, signals: Sequence[Signal], standings: Mapping[AlertKey, Standing], left: Counter[str]
    ) -> tuple[dict[str, Alert], list[Announcement]]:
        now = self._clock.now()
        at = dict(standings)
        changed: dict[str, Alert] = {}
        announcements = []
        refused: Counter[str] = Counter()
        for signal in signals:
            step = heard(at.get(signal.key, Standing()), signal, now=now, new_id=str(uuid4()))
            if step is None:
                continue
            if step.occasion is Occasion.RAISED:
                if left[signal.rule.id] <= 0:
                    refused[signal.rule.id] += 1
                    continue
                left[signal.rule.id] -= 1
            at[signal.key] = Standing(step.alert if step.alert.open else None, signal.event_us)
            changed[step.alert.id] = step.alert
            if step.occasion is not None:
                announcements.append(Announcement(step.alert, step.occasion))
        for rule, count in refused.items():
            REFUSED.labels(Reason.RATE_LIMITED).inc(count)
            self._full_until_s[rule] = self._clock.monotonic_s() + PATIENCE_S
            _log.warning("alerts_rate_limited", rule=rule, count=count, per_minute_max=self._per_rule_minute_max)
        return changed, announcements
