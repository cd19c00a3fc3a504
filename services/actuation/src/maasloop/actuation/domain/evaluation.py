"""Policies hear readings, switch on and off, and want levels of lamps, which become requests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .authority import Authority
from .batch import Batch
from .city import City
from .district import District, Moment, Wanted
from .journal import Entry, JournalEntry
from .lamps.kernel import Permitted, judge
from .lighting import LAMP_EXPIRY_US, ask_for
from .policy import Conditions, Mode, Policy, Scope, ScopeState
from .reading import SECOND_US, STALE_US, Reading
from .setpoint import LightLevel

DETAIL_LENGTH_MAX = 500
KEEP_EVERY_S = 5
"""Seconds between two looks at a lamp that something is wanted of."""
ERRORS_JOURNALLED_MAX = 16
"""Failing evaluations of one step that are written down; the rest is the same fault again."""


@dataclass(slots=True)
class _Step:
    """One evaluation under way."""

    district: District
    moment: Moment
    batch: Batch = field(default_factory=Batch)
    lamps: set[str] = field(default_factory=set)
    """Lamps that something else is wanted of than before."""

    def journal(self, policy: Policy, entry: Entry, target: str, detail: str, reason: str = "") -> None:
        """Write down what a policy did."""
        self.batch.journal.append(
            JournalEntry(
                self.moment.wall_us, self.district.id, entry, target, policy.issuer, reason, detail[:DETAIL_LENGTH_MAX]
            )
        )


class Evaluation:
    """The policies of a city at work; what it returns is not durable yet."""

    def __init__(self, city: City, conditions: Conditions) -> None:
        """Work on the city's state."""
        self._city = city
        self._conditions = conditions

    def hear(self, district: District, readings: Sequence[Reading], moment: Moment) -> Batch:
        """Evaluate what the readings wake; stale ones only update what is known."""
        step = _Step(district, moment)
        # What was told together is known before any of it is judged.
        newest = [reading for reading in readings if district.remember(reading)]
        for reading in newest:
            if moment.street_us - reading.time_us <= STALE_US:
                self._wake(step, reading)
        return self._asked(step, step.lamps)

    def pass_time(self, district: District, moment: Moment) -> Batch:
        """Switch off what nobody holds on any longer."""
        step = _Step(district, moment)
        for (name, key), scope in district.scopes.items():
            policy = self._city.policies.get(name)
            if scope.on and policy is not None and scope.pass_time(moment.street_us):
                _switched(step, policy, key, on=False, cause=f"{name}/hold@{moment.street_us}")
        return self._asked(step, step.lamps)

    def keep(self, district: District, moment: Moment) -> Batch:
        """Ask again for what is still wanted of every lamp, because something that held it let go."""
        return self._asked(_Step(district, moment), district.wanted)

    def keep_some(self, district: District, moment: Moment) -> Batch:
        """Ask again for what is still wanted of a share of the lamps: of each of them every ``KEEP_EVERY_S``.

        Before its command expires, or after a failure.
        """
        turn = moment.street_us // SECOND_US % KEEP_EVERY_S
        return self._asked(_Step(district, moment), list(district.wanted)[turn::KEEP_EVERY_S])

    def _wake(self, step: _Step, reading: Reading) -> None:
        district = step.district
        for policy in self._city.policies_for(district.id, reading.observed_property):
            latest = district.latest_near(reading.device, self._conditions.properties(policy), step.moment.street_us)
            answer = self._conditions.answer(policy, reading, latest)
            if answer.error:
                if len(step.batch.journal) < ERRORS_JOURNALLED_MAX:
                    step.journal(policy, Entry.POLICY_ERROR, reading.device, answer.error)
                continue
            for key in _keys(district, policy, reading.device):
                scope = district.scopes.setdefault((policy.id, key), ScopeState())
                if scope.hear(policy, answer, reading.device, reading.time_us):
                    _switched(step, policy, key, on=bool(scope.on), cause=reading.cause)

    def _asked(self, step: _Step, lamps: Iterable[str]) -> Batch:
        for lamp in sorted(lamps):
            capabilities = self._city.capabilities_of(step.district.device(lamp))
            step.batch.merge(ask_for(step.district, capabilities, lamp, step.moment))
        return step.batch


def _switched(step: _Step, policy: Policy, key: str, *, on: bool, cause: str) -> None:
    """Want the level of the new state of all lamps of a scope, or write down what would be wanted."""
    level = policy.on_level_percent if on else policy.off_level_percent
    shadow = policy.mode is Mode.SHADOW
    entry = (Entry.SHADOW_ON if on else Entry.SHADOW_OFF) if shadow else (Entry.POLICY_ON if on else Entry.POLICY_OFF)
    step.journal(policy, entry, key, cause)
    for lamp in _lamps(step.district, policy, key):
        if shadow:
            _would(step, policy, lamp, level)
            continue
        wanted = step.district.wanted.setdefault(lamp, Wanted())
        wanted.levels[policy.id] = level
        wanted.cause, wanted.failures, wanted.retry_us = cause, 0, 0
        step.lamps.add(lamp)


def _would(step: _Step, policy: Policy, lamp: str, level: float) -> None:
    """Write down what the kernel would have said, without any effect."""
    now_us = step.moment.street_us
    verdict = judge(
        step.district.facts.lamps[lamp],
        step.district.lamp_states.get(lamp),
        LightLevel(level, 0.0),
        Authority.ADAPTIVE,
        street_us=now_us,
        expire_us=now_us + LAMP_EXPIRY_US,
    )
    if isinstance(verdict, Permitted):
        step.journal(policy, Entry.SHADOW_COMMAND, lamp, f"{verdict.setpoint.level_percent:g} %")
    else:
        step.journal(policy, Entry.SHADOW_REFUSED, lamp, verdict.detail, str(verdict.reason))


def _keys(district: District, policy: Policy, device: str) -> tuple[str, ...]:
    match policy.scope:
        case Scope.DEVICE:
            return (device,) if device in district.facts.lamps else ()
        case Scope.GROUP:
            return tuple(
                group for group in district.facts.groups_of(device) if district.facts.lamps_of_group.get(group)
            )
        case Scope.DISTRICT:
            return (district.id,)


def _lamps(district: District, policy: Policy, key: str) -> Sequence[str]:
    match policy.scope:
        case Scope.DEVICE:
            return (key,)
        case Scope.GROUP:
            return sorted(district.facts.lamps_of_group.get(key, ()))
        case Scope.DISTRICT:
            return sorted(district.facts.lamps)
