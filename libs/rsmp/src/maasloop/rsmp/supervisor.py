"""The supervisor's role on a link: it waits for a site, agrees on versions, subscribes, commands and listens."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from .commanding import CommandBook, CommandTimes
from .dialect import DIALECTS, OnChange, Release, common_dialect
from .errors import MessageInvalid, NotSendable
from .events import (
    AggregatedStatusReported,
    AlarmReported,
    CommandAccepted,
    CommandEnded,
    Established,
    Reading,
    StatusReported,
)
from .exchange_list import TLC_RELEASES, ExchangeList, tlc
from .messages import (
    Address,
    AggregatedStatus,
    AggregatedStatusRequest,
    AlarmAct,
    AlarmOrder,
    AlarmReport,
    CommandArgument,
    CommandRequest,
    CommandResponse,
    Numbered,
    StatusName,
    StatusRequest,
    StatusResponse,
    StatusSubscribe,
    StatusUnsubscribe,
    StatusUpdate,
    StatusValue,
    Subscription,
    Value,
    Version,
    Watchdog,
)
from .read_back import expectation
from .session import Instant, LinkSettings, Phase, Session

INITIAL_REPORT_S = 5.0
"""Subscriptions follow the first aggregated status; a site that sends none is not waited for longer."""


@dataclass(slots=True)
class KnownSite:
    """What a supervisor knows about a site, and what it wants of it; it outlives links."""

    controller: str
    """Component id of the controller itself; statuses that confirm a command are read there."""
    core_releases: frozenset[Release] = frozenset(DIALECTS)
    list_releases: frozenset[Release] = frozenset(TLC_RELEASES)
    on_change: OnChange | None = None
    """How this site wants ``sOc``, against the standard of its core version; None: as the standard says."""
    wanted: dict[str, dict[StatusName, Subscription]] = field(default_factory=dict)
    """Subscriptions by component; they are made again on every link."""
    detector_logics: tuple[str, ...] = ()
    """Component ids in the order in which statuses list them; without, nothing shows whether one is forced."""


class SupervisorSession(Session):
    """One link with a site that is known by ``directory``, which gives None for a foreign id."""

    def __init__(
        self,
        directory: Callable[[str], KnownSite | None],
        settings: LinkSettings,
        new_id: Callable[[], str],
        now: Instant,
        times: CommandTimes | None = None,
    ) -> None:
        """Wait for the site's version."""
        super().__init__(settings, new_id, now)
        self.site_ids: tuple[str, ...] = ()
        """Empty until the site has told them and is known."""
        self._directory = directory
        self._commands = CommandBook(times or CommandTimes())
        self._site = KnownSite("")
        self._list: ExchangeList = tlc(TLC_RELEASES[-1])
        self._subscribe_s: float | None = None

    @property
    def exchange_list(self) -> ExchangeList:
        """The exchange list of this link; the newest one until the versions are agreed."""
        return self._list

    def subscribe(self, component: str, subscriptions: Iterable[Subscription], now: Instant) -> None:
        """Want values of a component, on this link and those that follow; what a list lacks is left out on its links.

        Raises:
            NotSendable: the link is ready, and its exchange list has no such status.
        """
        wanted = {StatusName(each.code, each.name): each for each in subscriptions}
        if self.phase is Phase.READY:
            self._require_statuses(wanted)
        self._site.wanted.setdefault(component, {}).update(wanted)
        if self._subscribe_s is None and self.phase is Phase.READY:
            self._send_subscriptions(component, wanted.values(), now)

    def unsubscribe(self, component: str, names: Iterable[StatusName], now: Instant) -> None:
        """No longer want values of a component."""
        wanted = self._site.wanted.get(component, {})
        ended = tuple(name for name in names if wanted.pop(name, None))
        if ended and self.phase is Phase.READY:
            self._send(StatusUnsubscribe(self._new_id(), Address(component), ended), now)

    def request_status(self, component: str, names: Iterable[StatusName], now: Instant) -> None:
        """Ask for values once.

        Raises:
            NotSendable: the link is not ready, or the exchange list has no such status.
        """
        self._require_ready()
        asked = tuple(names)
        self._require_statuses(asked)
        self._send(StatusRequest(self._new_id(), Address(component), asked), now)

    def request_aggregated_status(self, component: str, now: Instant) -> None:
        """Ask for the state at a glance.

        Raises:
            NotSendable: the link is not ready, or its core version is older than 3.1.5.
        """
        self._require_ready()
        self._send(AggregatedStatusRequest(self._new_id(), Address(component)), now)

    def order_alarm(self, component: str, code: str, act: AlarmAct, now: Instant) -> None:
        """Acknowledge, suspend, resume or request an alarm.

        Raises:
            NotSendable: the link is not ready, the list has no such alarm, or the core version no such order.
        """
        self._require_ready()
        if code not in self._list.alarms:
            raise NotSendable(f"alarm {code} is not in list {self._list.release}")
        time = now.utc if act is AlarmAct.ACKNOWLEDGE else None
        self._send(AlarmOrder(self._new_id(), Address(component), code, act, time), now)

    def command(self, component: str, code: str, values: Mapping[str, Value], now: Instant) -> str:
        """Order something, and return the id under which its end is told; it is sent once and never again.

        Raises:
            NotSendable: the link is not ready, the values are not those that the exchange list asks for, the list
                only reserves the command, or too many commands have not ended.
        """
        self._require_ready()
        entry = self._list.commands.get(code)
        if problem := self._list.command_problem(code, (), values):
            raise NotSendable(problem)
        if entry is None or entry.reserved:
            raise NotSendable(f"command {code} is reserved for the future")
        if self._commands.full:
            raise NotSendable("too many commands have not ended")
        arguments = tuple(CommandArgument(code, name, entry.order, value) for name, value in values.items())
        request = CommandRequest(self._new_id(), Address(component), arguments)
        self._send(request, now)
        expected = expectation(code, values, self._list, self._position(component))
        self._tell_ended(self._commands.open(request, self._site.controller, expected))
        return request.message_id

    def _on_version(self, version: Version, now: Instant) -> None:
        if self.phase is not Phase.VERSIONS:
            self._refuse(version, "the versions are agreed already")
            return
        sites = [self._directory(each) for each in version.site_ids]
        site = sites[0]
        if site is None or None in sites:
            unknown = next(id_ for id_, each in zip(version.site_ids, sites, strict=True) if each is None)
            self._reject(version.message_id, f"site id {unknown[:80]!r} is not known", now)
            return
        listed = Release.parse(version.list_version)
        if listed not in site.list_releases:
            self._reject(
                version.message_id, f"SXL {listed} requested, but only [{_joined(site.list_releases)}] supported", now
            )
            return
        dialect = common_dialect(version.core_versions, site.core_releases)
        if dialect is None:
            offered = ",".join(each[:12] for each in version.core_versions[:20])
            spoken = _joined(site.core_releases)
            self._reject(version.message_id, f"RSMP versions [{offered}] requested, but only [{spoken}] supported", now)
            return
        self._acknowledge(version)
        self.site_ids, self._site, self._list = version.site_ids, site, tlc(listed)
        spelled = {each: str(each) for each in site.core_releases} | _spelled(version.core_versions, site.core_releases)
        ours = tuple(spelled[each] for each in sorted(spelled))
        self._send(Version(self._new_id(), ours, version.site_ids, version.list_version), now)
        self._agree(replace(dialect, on_change=site.on_change or dialect.on_change))
        self.phase = Phase.WATCHDOGS

    def _on_message(self, message: Numbered, now: Instant) -> None:
        if problem := self._problem(message):
            self._refuse(message, problem)
            return
        self._acknowledge(message)
        match message:
            case Watchdog():
                if self._watchdog_due_s is None:
                    self._send_watchdog(now)
            case AggregatedStatus():
                self._tell(AggregatedStatusReported(message))
                if self._subscribe_s is not None:
                    self._subscribe_s = now.at_s
                    self._on_tick(now)
            case AlarmReport():
                entry = self._list.alarms[message.code]
                self._tell(AlarmReported(message, entry.title, entry.problem(dict(message.values))))
            case StatusResponse() | StatusUpdate():
                self._take_values(message)
            case CommandResponse():
                self._tell_ended(self._commands.answered(message, now.at_s))
                self._on_tick(now)
            case _:
                pass

    def _problem(self, message: Numbered) -> str:
        """Return why a message is to be refused, or an empty text."""
        match message:
            case Watchdog() | AggregatedStatus():
                return ""
            case AlarmReport():
                entry = self._list.alarms.get(message.code)
                if entry is None:
                    return f"alarm {message.code} is not in list {self._list.release}"
                foreign = next((name for name, _ in message.values if name not in entry.arguments), None)
                return f"alarm {message.code} has no {foreign[:40]!r}" if foreign is not None else ""
            case StatusResponse() | StatusUpdate():
                return self._list.status_problem(StatusName(each.code, each.name) for each in message.values)
            case CommandResponse():
                foreign = next((each.code for each in message.values if each.code not in self._list.commands), None)
                return f"command {foreign} is not in list {self._list.release}" if foreign else ""
            case _:
                return f"a supervisor is not sent {type(message).__name__}"

    def _take_values(self, message: StatusResponse | StatusUpdate) -> None:
        readings = tuple(map(self._reading, message.values))
        component = message.address.component
        self._tell(StatusReported(component, message.time, readings, isinstance(message, StatusResponse)))
        self._tell_ended(self._commands.reported(component, readings, message.time))

    def _reading(self, told: StatusValue) -> Reading:
        problem = ""
        if not told.quality.valueless:
            problem = self._list.statuses[told.code].arguments[told.name].problem(told.value)
        return Reading(told.code, told.name, None if problem else told.value, told.quality, problem)

    def _on_acknowledged(self, message: Numbered, now: Instant) -> None:
        if isinstance(message, CommandRequest):
            self._commands.acknowledged(message.message_id, now.at_s)
        elif isinstance(message, Watchdog) and self.phase is Phase.WATCHDOGS:
            self.phase = Phase.READY
            self._subscribe_s = now.at_s + INITIAL_REPORT_S
            self._tell(Established(self.site_ids, self.dialect.release, self._list.release))

    def _on_refused(self, message: Numbered, reason: str, now: Instant) -> None:
        if isinstance(message, Version):
            self.close(f"the site refused our version: {reason}", now)
        elif isinstance(message, CommandRequest):
            self._tell_ended(self._commands.refused(message.message_id, reason))
        elif isinstance(message, StatusRequest):
            self._tell_ended(self._commands.unreadable(message.address.component, message.names, reason))

    def _on_tick(self, now: Instant) -> None:
        if self._subscribe_s is not None and now.at_s >= self._subscribe_s:
            self._subscribe_s = None
            for component, wanted in self._site.wanted.items():
                self._send_subscriptions(component, wanted.values(), now)
        self._tell_ended(self._commands.ended_by(now.at_s))
        for component, names in self._commands.readings_due(now.at_s):
            self._send(StatusRequest(self._new_id(), Address(component), names), now)

    def _on_closed(self, now: Instant) -> None:
        self._tell_ended(self._commands.lost())

    def _next_s(self) -> float | None:
        times = [each for each in (self._subscribe_s, self._commands.next_s) if each is not None]
        return min(times, default=None)

    def _send_subscriptions(self, component: str, wanted: Iterable[Subscription], now: Instant) -> None:
        """Ask for each status by itself: a site that refuses one still tells the others."""
        by_code: dict[str, list[Subscription]] = {}
        for each in wanted:
            if not self._list.status_problem([StatusName(each.code, each.name)]):
                by_code.setdefault(each.code, []).append(each)
        for part in by_code.values():
            self._send(StatusSubscribe(self._new_id(), Address(component), tuple(part)), now)

    def _position(self, component: str) -> int | None:
        logics = self._site.detector_logics
        return logics.index(component) + 1 if component in logics else None

    def _require_ready(self) -> None:
        if self.phase is not Phase.READY:
            raise NotSendable("the link is not ready")

    def _require_statuses(self, names: Iterable[StatusName]) -> None:
        if problem := self._list.status_problem(names):
            raise NotSendable(problem)

    def _tell_ended(self, ended: Iterable[CommandAccepted | CommandEnded]) -> None:
        for each in ended:
            self._tell(each)


def _joined(releases: Iterable[Release]) -> str:
    return ",".join(map(str, sorted(releases)))


def _spelled(texts: Iterable[str], releases: frozenset[Release]) -> dict[Release, str]:
    """Return how the peer spells what we speak too; some compare the texts and not the numbers."""
    found = {}
    for text in texts:
        try:
            release = Release.parse(text)
        except MessageInvalid:
            continue
        if release in releases:
            found[release] = text
    return found
