"""Alert rules: what is watched, and the texts that are said about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from maasloop.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason

from .text import LANGUAGES, require_template

TITLE_LENGTH_MAX = 200
BODY_LENGTH_MAX = 2_000
SILENCE_MIN_S = 1.0
SILENCE_MAX_S = 30 * 86_400.0
RULES_MAX = 1_000
"""Rules of one installation: every batch of readings is compared with all of its district's."""

PATIENCE_US = 15 * 60 * 1_000_000
"""Wall time in which a second person must agree."""


@dataclass(frozen=True, slots=True)
class ObservationWatch:
    """Readings of one observed property; an empty ``resolve_condition`` is the negation of the other."""

    observed_property: str
    raise_condition: str
    resolve_condition: str = ""


@dataclass(frozen=True, slots=True)
class CommandWatch:
    """Commands that reached a terminal state; without a ``resolve_condition`` only a person resolves."""

    raise_condition: str
    resolve_condition: str = ""


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """No reading of a property from a device that sent some before, for ``after_s`` on the district's clock."""

    observed_property: str
    after_s: float


type Watch = ObservationWatch | CommandWatch | SilenceWatch


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When an alert is raised, and what it says."""

    id: str
    district: str
    category: str
    watch: Watch
    title: Mapping[str, str]
    body: Mapping[str, str]
    etag: str = ""
    disabled: bool = False
    requester: str = ""
    """Who created it; empty where callers are not identified."""
    approver: str = ""
    """The second person, of a rule that needed one."""
    create_time_us: int = 0
    """Wall time."""


def granted(rule: AlertRule, approver: str, *, by_person: bool, now_us: int) -> AlertRule:
    """Return a rule that waited for a second person as enabled, or refuse; the same person may agree again."""
    if not by_person or approver == rule.requester:
        message = f"a person other than {rule.requester or 'its creator'} must agree"
        raise PermissionDenied(Reason.APPROVAL_MISSING, message, {"principal": approver})
    if not rule.disabled and rule.approver == approver:
        return rule
    if not rule.disabled:
        message = f"alertRules/{rule.id} waits for nobody"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "ENABLED"})
    if now_us >= rule.create_time_us + PATIENCE_US:
        message = f"alertRules/{rule.id} was not granted within 15 minutes; delete it and create it again"
        raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "EXPIRED"})
    return replace(rule, disabled=False, approver=approver)


def require_rule(rule: AlertRule) -> None:
    """Refuse a rule that could never be understood; its expressions are for whoever compiles them."""
    require_id(rule.id, "alert_rule_id")
    require_id(rule.district, "alert_rule.district")
    require_id(rule.category, "alert_rule.category")
    if not isinstance(rule.watch, CommandWatch):
        require_id(rule.watch.observed_property, "observed_property")
    if isinstance(rule.watch, SilenceWatch) and not SILENCE_MIN_S <= rule.watch.after_s <= SILENCE_MAX_S:
        message = f"silence.after must lie between {SILENCE_MIN_S:g} s and {SILENCE_MAX_S:g} s"
        metadata = {"field": "alert_rule.silence.after", "rule": "duration.range"}
        raise InvalidArgument(Reason.REQUEST_INVALID, message, metadata)
    for field, texts, length_max in (("title", rule.title, TITLE_LENGTH_MAX), ("body", rule.body, BODY_LENGTH_MAX)):
        if set(texts) != set(LANGUAGES):
            message = f"{field} is needed in {' and '.join(LANGUAGES)}, and in no other language"
            metadata = {"field": f"alert_rule.{field}", "rule": "map.languages"}
            raise InvalidArgument(Reason.REQUEST_INVALID, message, metadata)
        for language in LANGUAGES:
            require_template(texts[language], f"alert_rule.{field}[{language}]", length_max)
