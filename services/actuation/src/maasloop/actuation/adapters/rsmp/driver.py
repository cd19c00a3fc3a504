"""The driver of signal controllers that speak RSMP: one supervisor for all sites of the registry.

An acknowledgement is protocol, a response is acceptance; a command is settled as carried out when a status of its site
shows it, and not before that status is stored as an observation. Without a link a command fails at once. What a
controller does not take back by itself is undone at the expiry.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from maasloop.actuation.adapters.reports import Recorded, Reporter
from maasloop.actuation.adapters.rsmp.observations import Translator
from maasloop.actuation.adapters.rsmp.orders import (
    Circumstances,
    SiteCommand,
    alarm_component,
    to_commands,
    undoing,
)
from maasloop.actuation.domain.command import Command
from maasloop.actuation.domain.plans.setpoints import Act, AlarmHandling
from maasloop.actuation.domain.reading import SECOND_US, Reading
from maasloop.actuation.domain.reporting import Report
from maasloop.actuation.domain.setpoint import LocalControl
from maasloop.actuation.handlers.record_answer import AnswerKind, DeviceAnswer
from maasloop.core.clock import Clock
from maasloop.rsmp.errors import NotSendable, RsmpError
from maasloop.rsmp.events import (
    AlarmReported,
    Closed,
    CommandAccepted,
    CommandEnded,
    Established,
    Event,
    Outcome,
    PeerMistaken,
    PeerSilent,
    Refused,
)
from maasloop.rsmp.events import Reading as Told
from maasloop.rsmp.messages import AlarmAct, AlarmOrder, AlarmReport, Quality
from maasloop.rsmp.supervised import SupervisedSite
from maasloop.rsmp.supervising import Supervision
from maasloop.rsmp.transport import TransportSettings
from maasloop.telemetry import metrics

EXPIRY_LOOK_S = 0.5
"""Between two looks at what has expired."""

SITES = metrics.gauge("maasloop_actuation_rsmp_sites", "RSMP sites by whether their link is ready", ["state"])
EVENTS = metrics.counter(
    "maasloop_actuation_rsmp_events_total", "What happened on links with RSMP sites, by kind", ["event"]
)

_log = structlog.get_logger()

type Settle = Callable[[str, DeviceAnswer], None]
"""Takes what is known of a command, with its district."""
type StreetTime = Callable[[str], int]
"""Returns now on a district's clock, in microseconds."""

_ENDINGS = {
    Outcome.ACCEPTED: (AnswerKind.NOT_SHOWN, "the site took it, and tells no status that shows it"),
    Outcome.NOT_CONFIRMED: (AnswerKind.NOT_SHOWN, "the site took it, and no status showed it in time"),
    Outcome.SUPERSEDED: (AnswerKind.NOT_SHOWN, "another command of this kind was sent before a status showed it"),
    Outcome.REFUSED: (AnswerKind.REFUSED, ""),
    Outcome.UNDEFINED: (AnswerKind.REFUSED, "the site has no such component"),
    Outcome.UNKNOWN: (AnswerKind.REFUSED, "the site has not implemented it"),
    Outcome.UNANSWERED: (AnswerKind.UNREACHABLE, "the site did not answer in time"),
    Outcome.LINK_LOST: (AnswerKind.UNREACHABLE, "the link was lost before a status showed it"),
}


_ACTS = {Act.ACKNOWLEDGE: AlarmAct.ACKNOWLEDGE, Act.SUSPEND: AlarmAct.SUSPEND, Act.RESUME: AlarmAct.RESUME}


@dataclass(frozen=True, slots=True)
class _Target:
    district: str
    device: str
    translator: Translator

    @property
    def key(self) -> tuple[str, str]:
        return self.district, self.device


@dataclass(slots=True)
class _Running:
    """A command on its way: the site's commands that carry it out, and what is not shown yet."""

    command: Command
    unanswered: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)
    unstored: int = 0
    """Observations that show parts of it, and are on their way to be stored."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a site was asked for, until when, and how it is taken back."""

    expire_us: int
    commands: tuple[SiteCommand, ...]


class RsmpDriver:
    """Sends commands to sites and hears what they tell."""

    def __init__(
        self,
        reporter: Reporter,
        clock: Clock,
        settle: Settle,
        street_us: StreetTime,
        settings: TransportSettings | None = None,
    ) -> None:
        """Know no site yet; the registry tells them."""
        self.listening = ""
        """Host and port, once it serves."""
        self._clock = clock
        self._settle = settle
        self._street_us = street_us
        self._supervision = Supervision(self._hear, clock, settings)
        self._reporter = reporter
        self._targets: dict[str, _Target] = {}
        """By site id."""
        self._sites: dict[tuple[str, str], SupervisedSite] = {}
        """By district and device."""
        self._listed: dict[str, Established] = {}
        self._running: dict[str, _Running] = {}
        self._of: dict[str, str] = {}
        """Command of the site to command of the platform."""
        self._standing: dict[tuple[str, str, str], _Standing] = {}
        """By district, device and what stands."""
        self._alarms: dict[tuple[str, str, str], _Running] = {}
        """Commands about an alarm, by site, component and code."""
        self._resumed: dict[tuple[str, str], list[Command]] = {}
        """By district and device: commands from before the start, until the site is linked."""

    def serves(self, district: str, device: str) -> bool:
        """Tell whether a device is an RSMP site."""
        return (district, device) in self._sites

    def know(self, district: str, device: str, site: SupervisedSite | None, groups: tuple[str, ...]) -> None:
        """Take a site as the registry has it; None: it is none, or no longer in service. ``groups``: of state texts."""
        before = self._sites.pop((district, device), None)
        if before is not None and before != site:
            for each in before.site_ids:
                self._targets.pop(each, None)
                self._supervision.drop(each)
        if site is not None:
            self._put(_Target(district, device, Translator(device, site, groups)), site)
        self._count()

    def _put(self, target: _Target, site: SupervisedSite) -> None:
        known = [self._targets[each] for each in site.site_ids if each in self._targets]
        if any(each.key != target.key for each in known):
            _log.warning("rsmp_site_taken", district=target.district, device=target.device, site=site.site_ids[0])
            return
        self._sites[target.key] = site
        self._supervision.put(site)
        if not known or known[0].translator.groups != target.translator.groups:
            self._targets |= dict.fromkeys(site.site_ids, target)

    def resume(self, commands: Iterable[Command]) -> None:
        """Know of commands from before a restart, oldest first: at their expiry they are taken back."""
        for command in commands:
            self._resumed.setdefault((command.district, command.device), []).append(command)

    async def send(self, command: Command) -> None:
        """Hand a command to its site, once; what cannot be sent fails with its reason."""
        site = self._sites.get((command.district, command.device))
        if site is None or command.id in self._running:
            return
        running = _Running(command)
        self._running[command.id] = running
        try:
            given = self._circumstances(site, command)
            if isinstance(command.setpoint, AlarmHandling):
                self._handle(running, command.setpoint, site)
                return
            wanted = self._returning(command, given) or to_commands(command.setpoint, given)
            self._stand(command, given)
            for each in wanted:
                sent = self._supervision.command(site.site_ids[0], each.component, each.code, each.values)
                self._of[sent] = command.id
                running.unanswered.add(sent)
                running.unshown.add(sent)
        except RsmpError as error:
            self._end(running, AnswerKind.UNREACHABLE, error.reason)

    async def run(self, address: str, tls: ssl.SSLContext | None) -> None:
        """Serve on HOST:PORT until cancelled; without an address nobody is served."""
        if not address:
            await asyncio.Event().wait()
        host, _, port = address.rpartition(":")
        taken = await self._supervision.start(host, int(port), tls)
        self.listening = f"{taken[0]}:{taken[1]}"
        _log.info("rsmp_listening", address=self.listening, tls=tls is not None)
        try:
            while True:
                self._undo()
                await self._clock.sleep(EXPIRY_LOOK_S)
        finally:
            await self._supervision.close()

    def _handle(self, running: _Running, handling: AlarmHandling, site: SupervisedSite) -> None:
        """Order something about an alarm, and ask how it stands: a site says nothing where nothing changes."""
        component, name = alarm_component(handling, site), site.site_ids[0]
        self._alarms[name, component, handling.code] = running
        self._supervision.order_alarm(name, component, handling.code, _ACTS[handling.act])
        with suppress(NotSendable):
            # Core 3.1.4 and older cannot ask.
            self._supervision.order_alarm(name, component, handling.code, AlarmAct.REQUEST)

    def _stand(self, command: Command, given: Circumstances) -> None:
        for name, back in undoing(command.setpoint, given).items():
            self._standing[command.district, command.device, name] = _Standing(command.expire_us, tuple(back))

    def _circumstances(self, site: SupervisedSite, command: Command) -> Circumstances:
        established = self._listed.get(site.site_ids[0])
        if established is None:
            message = f"site {site.site_ids[0]} has no link"
            raise RsmpError(message)
        lasts_s = (command.expire_us - self._street_us(command.district)) / SECOND_US
        return Circumstances(site, established.exchange_list, lasts_s, self._clock.now())

    def _returning(self, command: Command, given: Circumstances) -> list[SiteCommand]:
        """Return, for local control, what takes back all that stands; nothing for anything else."""
        if not isinstance(command.setpoint, LocalControl):
            return []
        of_device = [key for key in self._standing if key[:2] == (command.district, command.device)]
        undone = [each for key in of_device for each in self._standing.pop(key).commands]
        return undone if any(each.code == "M0002" for each in undone) else undone + to_commands(command.setpoint, given)

    def _undo(self) -> None:
        """Take back what has expired; whether that is shown interests nobody any more."""
        expired = [key for key, each in self._standing.items() if each.expire_us <= self._street_us(key[0])]
        for key in expired:
            site = self._sites.get(key[:2])
            if site is None or site.site_ids[0] not in self._listed:
                # It stands until the site is there again.
                continue
            standing = self._standing.pop(key)
            for each in standing.commands:
                try:
                    self._supervision.command(site.site_ids[0], each.component, each.code, each.values)
                except RsmpError as error:
                    _log.warning("rsmp_not_undone", district=key[0], device=key[1], code=each.code, why=error.reason)

    def _hear(self, site: SupervisedSite | None, event: Event) -> None:
        EVENTS.labels(type(event).__name__).inc()
        target = self._targets.get(site.site_ids[0]) if site is not None else None
        try:
            if site is not None:
                self._note(site, event)
            if target is not None:
                self._take(target, event)
        except Exception:
            # One site's message must not end the link, nor those of others.
            _log.exception("rsmp_event_failed", site=site.site_ids[0] if site else "")

    def _note(self, site: SupervisedSite, event: Event) -> None:
        match event:
            case Established():
                self._listed |= dict.fromkeys(site.site_ids, event)
                self._count()
                self._resume_on(site)
                _log.info("rsmp_linked", site=site.site_ids[0], core=str(event.core), list=str(event.exchange_list))
            case Closed():
                self._give_up_alarms(site)
                if not self._supervision.linked.intersection(site.site_ids):
                    for each in site.site_ids:
                        self._listed.pop(each, None)
                self._count()
                _log.info("rsmp_link_closed", site=site.site_ids[0], reason=event.reason)
            case PeerSilent() | PeerMistaken() | Refused():
                self._refused(site, event)
                reason = f"silent for {event.silence_s:g} s" if isinstance(event, PeerSilent) else event.reason
                _log.warning("rsmp_trouble", site=site.site_ids[0], event=type(event).__name__, reason=reason)
            case _:
                pass

    def _refused(self, site: SupervisedSite, event: Event) -> None:
        if not isinstance(event, Refused) or not isinstance(event.message, AlarmOrder):
            return
        order = event.message
        running = self._alarms.get((site.site_ids[0], order.address.component, order.code))
        if running is not None and order.act is not AlarmAct.REQUEST:
            self._end(running, AnswerKind.REFUSED, event.reason)

    def _give_up_alarms(self, site: SupervisedSite) -> None:
        for key in [key for key in self._alarms if key[0] == site.site_ids[0]]:
            self._end(self._alarms.pop(key), AnswerKind.UNREACHABLE, "the link was lost before the alarm was told")

    def _resume_on(self, site: SupervisedSite) -> None:
        key = self._targets[site.site_ids[0]].key
        for command in self._resumed.pop(key, []):
            try:
                self._stand(command, self._circumstances(site, command))
            except RsmpError as error:
                _log.warning("rsmp_not_undone", district=key[0], device=key[1], why=error.reason)

    def _take(self, target: _Target, event: Event) -> None:
        match event:
            case CommandAccepted():
                self._accepted(event.command_id)
            case CommandEnded():
                self._ended(target, event)
            case _:
                self._report(target, target.translator.readings(event))
                if isinstance(event, AlarmReported):
                    self._shown(target, event.report)

    def _shown(self, target: _Target, report: AlarmReport) -> None:
        key = (target.translator.site.site_ids[0], report.address.component, report.code)
        running = self._alarms.get(key)
        if running is None or not isinstance(running.command.setpoint, AlarmHandling):
            return
        act = running.command.setpoint.act
        holds = report.acknowledged if act is Act.ACKNOWLEDGE else report.suspended is (act is Act.SUSPEND)
        if holds:
            del self._alarms[key]
            told = (Told(report.code, "aSp", act.value, Quality.RECENT),)
            self._prove(target, running, target.translator.evidence(report.address.component, told, report.time))

    def _accepted(self, sent: str) -> None:
        running = self._running.get(self._of.get(sent, ""))
        if running is not None:
            running.unanswered.discard(sent)
            if not running.unanswered:
                self._answer(running, AnswerKind.ACKNOWLEDGED, "")

    def _ended(self, target: _Target, event: CommandEnded) -> None:
        running = self._running.get(self._of.pop(event.command_id, ""))
        if event.outcome is not Outcome.CONFIRMED or event.seen is None:
            if running is not None:
                kind, words = _ENDINGS.get(event.outcome, (AnswerKind.NOT_SHOWN, event.outcome.value))
                self._end(running, kind, f"{event.code}: {': '.join(filter(None, (words, event.detail)))}")
            return
        reading = target.translator.evidence(event.code, event.evidence, event.seen)
        if running is not None:
            running.unshown.discard(event.command_id)
        self._prove(target, running, reading)

    def _prove(self, target: _Target, running: _Running | None, reading: Reading) -> None:
        """Store what showed a part of a command; with the last part stored it is carried out."""
        if running is not None:
            running.unstored += 1

        def recorded(refusal: str) -> None:
            if running is None:
                return
            running.unstored -= 1
            if not running.unshown and not running.unstored:
                stored = f"evidence {reading.cause}" if not refusal else f"its observation was not kept: {refusal}"
                self._end(running, AnswerKind.SHOWN, f"{reading.state[:120]}; {stored}")

        self._report(target, [reading], recorded)

    def _report(self, target: _Target, readings: list[Reading], recorded: Recorded | None = None) -> None:
        told = [
            Report(target.district, each.device, each.observed_property, each.time_us, each.state or each.value)
            for each in readings
        ]
        self._reporter.offer(told, recorded)

    def _end(self, running: _Running, kind: AnswerKind, reason: str) -> None:
        if self._running.pop(running.command.id, None) is not None:
            self._answer(running, kind, reason)

    def _answer(self, running: _Running, kind: AnswerKind, reason: str) -> None:
        command = running.command
        self._settle(command.district, DeviceAnswer(command.device, command.id, kind, reason))

    def _count(self) -> None:
        linked = len(self._supervision.linked & self._targets.keys())
        SITES.labels("linked").set(linked)
        SITES.labels("absent").set(len(self._targets) - linked)
