"""The site's role on a link: it introduces itself, reports its state and its alarms, answers and obeys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .dialect import DIALECTS, Release, common_dialect
from .events import ClockTold, CommandTaken, Established
from .messages import (
    STATE_BITS,
    Address,
    AggregatedStatus,
    AggregatedStatusRequest,
    AlarmOrder,
    AlarmReport,
    CommandArgument,
    CommandRequest,
    CommandResponse,
    CommandValue,
    Numbered,
    Quality,
    StatusName,
    StatusRequest,
    StatusResponse,
    StatusSubscribe,
    StatusUnsubscribe,
    StatusUpdate,
    Value,
    Version,
    Watchdog,
)
from .session import Instant, LinkSettings, Phase, Session
from .site_state import Buffered, SiteState, Verdict

IN_USE = tuple(bit == STATE_BITS - 3 for bit in range(STATE_BITS))
"""The aggregated status of a site of which nothing else was told: connected and in use."""


@dataclass(frozen=True, slots=True)
class SiteIdentity:
    """How a site introduces itself."""

    site_ids: tuple[str, ...]
    list_version: str
    """As the supervisor spells it; some compare the texts and not the numbers."""
    core_versions: tuple[str, ...] = tuple(map(str, DIALECTS))
    primary: bool = True
    """A secondary supervisor is told no alarms."""
    suspended_in_lower_case: bool = False
    """This supervisor wants the word of a suspended alarm as it was before core 3.2."""
    undefined_is_null: bool = False
    """This supervisor wants null for what a command said that no component takes, where its core version knows that."""


class SiteSession(Session):
    """One link to a supervisor; what outlives it is in ``state``."""

    def __init__(
        self,
        identity: SiteIdentity,
        state: SiteState,
        settings: LinkSettings,
        new_id: Callable[[], str],
        now: Instant,
    ) -> None:
        """Send the version."""
        super().__init__(settings, new_id, now)
        self.state = state
        self._identity = identity
        self._told_version = False
        self._heard_version = False
        self._heard_watchdog = False
        self._told_watchdog = False
        self._send(Version(new_id(), identity.core_versions, identity.site_ids, identity.list_version), now)

    def refresh(self, now: Instant, counted_s: float | None = None) -> list[StatusUpdate]:
        """Look for changed values and intervals that are over; the owner calls it after each step of its equipment.

        On a link that is not ready, or no longer, what is to outlive it is kept. ``counted_s``: the seconds by which
        intervals are counted, where those of the equipment are not the machine's. Returned is what the link carries.
        """
        updates = list(self.state.updates(now if counted_s is None else now._replace(at_s=counted_s)))
        for update in updates:
            self._report(update, now)
        return updates if self.phase is Phase.READY else []

    def set_alarm(
        self, component: str, code: str, values: tuple[tuple[str, str], ...], now: Instant, *, active: bool
    ) -> None:
        """Raise or clear an alarm."""
        report = self.state.set_alarm(component, code, values, now, active=active)
        if report is not None and self._identity.primary:
            self._report(report, now)

    def set_aggregated_status(self, component: str, bits: tuple[bool, ...], now: Instant) -> None:
        """Set the state at a glance of a component; only a change is told."""
        last = self.state.aggregated.get(component)
        if last is None or last.bits != bits:
            told = AggregatedStatus("", Address(component), now.utc, bits)
            self.state.aggregated[component] = told
            self._report(told, now)

    def _report(self, message: Buffered, now: Instant) -> None:
        if self.phase is Phase.READY:
            numbered = replace(message, message_id=self._new_id())
            self._send(self._written(numbered) if isinstance(numbered, StatusUpdate) else numbered, now)
        else:
            self.state.keep(message)

    def _written[T: (StatusUpdate, StatusResponse)](self, message: T) -> T:
        """Return a message without the arrays that older core versions cannot write."""
        if self.dialect.arrays:
            return message
        values = (
            replace(each, value=None, quality=Quality.UNKNOWN) if isinstance(each.value, tuple) else each
            for each in message.values
        )
        return replace(message, values=tuple(values))

    def _on_version(self, version: Version, now: Instant) -> None:
        if self._heard_version:
            self._refuse(version, "the versions are agreed already")
            return
        if problem := self._version_problem(version):
            self._reject(version.message_id, problem, now)
            return
        ours = map(Release.parse, self._identity.core_versions)
        dialect = common_dialect(version.core_versions, ours)
        if dialect is None:
            theirs, spoken = ",".join(version.core_versions[:20])[:120], ",".join(self._identity.core_versions)
            self._reject(version.message_id, f"RSMP versions [{theirs}] requested, but only [{spoken}] supported", now)
            return
        self._acknowledge(version)
        self._heard_version = True
        older = self._identity.suspended_in_lower_case or dialect.suspended_in_lower_case
        self._agree(replace(dialect, suspended_in_lower_case=older))
        self._versions_agreed(now)

    def _version_problem(self, version: Version) -> str:
        if set(version.site_ids) != set(self._identity.site_ids):
            return f"site id {version.site_ids[0][:80]!r} is not ours"
        listed, ours = Release.parse(version.list_version), Release.parse(self._identity.list_version)
        return "" if listed == ours else f"SXL {listed} requested, but only [{ours}] supported"

    def _versions_agreed(self, now: Instant) -> None:
        """Go on when both versions are acknowledged; older supervisors send theirs without waiting for ours."""
        if self._heard_version and self._told_version:
            self.phase = Phase.WATCHDOGS
            self._send_watchdog(now)

    def _on_message(self, message: Numbered, now: Instant) -> None:
        match message:
            case Watchdog():
                self._acknowledge(message)
                self._tell(ClockTold(message.time))
                self._heard_watchdog = True
                self._become_ready(now)
            case CommandRequest():
                self._obey(message, now)
            case StatusRequest() | StatusSubscribe() | StatusUnsubscribe():
                self._serve_status(message, now)
            case AlarmOrder():
                self._serve_alarm(message, now)
            case AggregatedStatusRequest():
                self._serve_aggregated_status(message, now)
            case _:
                self._refuse(message, f"a site is not sent {type(message).__name__}")

    def _on_acknowledged(self, message: Numbered, now: Instant) -> None:
        if isinstance(message, Version):
            self._told_version = True
            self._versions_agreed(now)
        elif isinstance(message, Watchdog):
            self._told_watchdog = True
            self._become_ready(now)

    def _on_refused(self, message: Numbered, reason: str, now: Instant) -> None:
        if isinstance(message, Version):
            self.close(f"the supervisor refused our version: {reason}", now)

    def _become_ready(self, now: Instant) -> None:
        if self.phase is Phase.WATCHDOGS and self._heard_watchdog and self._told_watchdog:
            self.phase = Phase.READY
            listed = Release.parse(self._identity.list_version)
            self._tell(Established(self._identity.site_ids, self.dialect.release, listed))
            for component in self.state.main_components:
                self._report(self._aggregated(component, now), now)
            if self._identity.primary:
                for report in self.state.all_alarms(now):
                    self._report(report, now)
            for message in self.state.take_buffer(self.dialect):
                self._report(message, now)

    def _aggregated(self, component: str, now: Instant) -> AggregatedStatus:
        default = AggregatedStatus("", Address(component), now.utc, IN_USE)
        return self.state.aggregated.setdefault(component, default)

    def _serve_status(self, message: StatusRequest | StatusSubscribe | StatusUnsubscribe, now: Instant) -> None:
        component = message.address.component
        asked = message.subscriptions if isinstance(message, StatusSubscribe) else message.names
        names = [StatusName(each.code, each.name) for each in asked]
        kinds = (self.state.exchange_list.statuses[name.code].component for name in names)
        problem = self.state.exchange_list.status_problem(names)
        problem = problem or next(filter(None, (self.state.kind_problem(component, kind) for kind in kinds)), "")
        if problem:
            self._refuse(message, problem)
            return
        self._acknowledge(message)
        match message:
            case StatusRequest():
                values = tuple(self.state.value(component, name) for name in names)
                answer = StatusResponse(self._new_id(), message.address, now.utc, values)
                self._send(self._written(answer), now)
            case StatusSubscribe():
                first = self.state.subscribe(component, message.subscriptions, now)
                first = replace(first, message_id=self._new_id(), address=message.address)
                self._send(self._written(first), now)
            case StatusUnsubscribe():
                self.state.unsubscribe(component, names)

    def _serve_alarm(self, order: AlarmOrder, now: Instant) -> None:
        component, entry = order.address.component, self.state.exchange_list.alarms.get(order.code)
        problem = f"alarm {order.code} is not in list {self.state.exchange_list.release}"
        if entry is not None:
            known = component in self.state.controller.components()
            problem = "" if known else f"component {component[:80]!r} is not known"
            problem = problem or self.state.kind_problem(component, entry.component)
        if problem:
            self._refuse(order, problem)
            return
        self._acknowledge(order)
        report = self.state.order_alarm(component, order.code, order.act, now)
        if report is not None and self._identity.primary:
            self._report(report, now)

    def _serve_aggregated_status(self, request: AggregatedStatusRequest, now: Instant) -> None:
        component = request.address.component
        if component not in self.state.main_components:
            self._refuse(request, f"component {component[:80]!r} has no aggregated status")
            return
        self._acknowledge(request)
        self._report(replace(self._aggregated(component, now), time=now.utc), now)

    def _obey(self, request: CommandRequest, now: Instant) -> None:
        """Judge all commands of a message before any is carried out."""
        component = request.address.component
        commands: dict[str, list[CommandArgument]] = {}
        for argument in request.arguments:
            commands.setdefault(argument.code, []).append(argument)
        ages: dict[str, Quality] = {}
        for code, arguments in commands.items():
            objection, ages[code] = self._judged(component, code, arguments)
            if objection:
                self._refuse(request, objection)
                return
        self._acknowledge(request)
        for code, arguments in commands.items():
            if ages[code] is Quality.RECENT:
                values = _values(arguments)
                self.state.controller.execute(component, code, values)
                self._tell(CommandTaken(component, code, values))
        # The text of core 3.2 has null for what nobody takes. Its schemas refused that until 2026, and want it since.
        null = self._identity.undefined_is_null and self.dialect.values_may_be_null
        answers = tuple(
            CommandValue(
                each.code, each.name, None if null and ages[each.code].valueless else each.value, ages[each.code]
            )
            for each in request.arguments
        )
        self._send(CommandResponse(self._new_id(), request.address, now.utc, answers), now)
        self.refresh(now)

    def _judged(self, component: str, code: str, arguments: list[CommandArgument]) -> tuple[str, Quality]:
        """Return why a command is refused, or an empty text, and the age of its answer."""
        values = _values(arguments)
        problem = self.state.exchange_list.command_problem(code, (each.order for each in arguments), values)
        if not problem and len(values) < len(arguments):
            problem = f"{code} has an argument twice"
        if problem:
            return problem, Quality.RECENT
        if component not in self.state.controller.components():
            return "", Quality.UNDEFINED
        if problem := self.state.kind_problem(component, self.state.exchange_list.commands[code].component):
            return problem, Quality.RECENT
        verdict: Verdict = self.state.controller.judge(component, code, values)
        return verdict.objection, Quality.RECENT if verdict.taken else Quality.UNKNOWN

    def _on_tick(self, now: Instant) -> None:
        self.refresh(now)

    def _on_closed(self, now: Instant) -> None:
        # Better twice than never: the supervisor may not have heard what it did not acknowledge.
        for message in self._unsettled():
            if isinstance(message, AggregatedStatus | AlarmReport | StatusUpdate):
                self.state.keep(replace(message, message_id=""))
        self.state.link_lost()

    def _next_s(self) -> float | None:
        return self.state.next_s if self.phase is Phase.READY else None


def _values(arguments: list[CommandArgument]) -> Mapping[str, Value]:
    return {each.name: each.value for each in arguments}
