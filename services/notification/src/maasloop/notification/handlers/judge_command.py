"""A command that reached a terminal state → what it says about alerts."""

from maasloop.notification.domain.alert import Signal
from maasloop.notification.domain.rule import CommandWatch
from maasloop.notification.domain.watchlist import Watchlist
from maasloop.notification.ports import CommandOutcome, Conditions


class JudgeCommand:
    """Judges outcomes of commands."""

    def __init__(self, watchlist: Watchlist, conditions: Conditions) -> None:
        self._watchlist = watchlist
        self._conditions = conditions

    def __call__(self, outcome: CommandOutcome) -> list[Signal]:
        """Return the signals of an outcome."""
        variables = {
            "state": outcome.state,
            "reason": outcome.reason,
            "device": outcome.device,
            "issuer": outcome.issuer,
        }
        shown = f"{outcome.state} ({outcome.reason})" if outcome.reason else outcome.state
        signals = []
        for rule in self._watchlist.commands(outcome.district):
            if not isinstance(rule.watch, CommandWatch):
                continue
            raises = self._conditions.holds(rule.watch.raise_condition, variables)
            resolves = bool(rule.watch.resolve_condition) and not raises
            if raises or (resolves and self._conditions.holds(rule.watch.resolve_condition, variables)):
                signals.append(Signal(rule, outcome.device, outcome.settle_us, raises, shown))
        return signals
