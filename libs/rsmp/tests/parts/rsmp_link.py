"""A supervisor and a site joined without a network, on a clock that the test moves, and a small controller."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from maasloop.rsmp.dialect import DIALECTS, Release
from maasloop.rsmp.events import Event, Reading
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import Quality, Rows, StatusName, Value
from maasloop.rsmp.session import Instant, LinkSettings, Phase
from maasloop.rsmp.site import SiteIdentity, SiteSession
from maasloop.rsmp.site_state import SiteState, Verdict
from maasloop.rsmp.supervisor import KnownSite, SupervisorSession

SITE, CONTROLLER, GROUP, DETECTOR = "RN+SI0001", "TC", "SG1", "DL1"
START = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = max(DIALECTS)
PLAN = StatusName("S0014", "status")


@dataclass
class Cabinet:
    """A controller with one signal group and one detector: it does at once what it is told, unless it is ``deaf``."""

    values: dict[tuple[str, StatusName], Value] = field(default_factory=dict)
    executed: list[tuple[str, str]] = field(default_factory=list)
    deaf: bool = False
    """It takes commands and does nothing."""
    security_code: str = "2222"
    """Of level 2."""

    def __post_init__(self) -> None:
        """Show the first plan in normal control."""
        for code, name, value in (
            ("S0001", "signalgroupstatus", "1"),
            ("S0001", "stage", "1"),
            ("S0003", "inputstatus", "0000"),
            ("S0014", "status", "1"),
            ("S0014", "source", "calendar_clock"),
        ):
            self.set(code, name, value)
        self.set("S0033", "status", ())

    def set(self, code: str, name: str, value: Value) -> None:
        """Change a value of the controller."""
        self.values[CONTROLLER, StatusName(code, name)] = value

    def components(self) -> Mapping[str, str]:
        """Return the kind of each component."""
        return {CONTROLLER: "controller", GROUP: "signal group", DETECTOR: "detector logic"}

    def read(self, component: str, name: StatusName) -> Reading:
        """Return a value now."""
        value = self.values.get((component, name))
        return Reading(name.code, name.name, value, Quality.UNKNOWN if value is None else Quality.RECENT)

    def judge(self, component: str, code: str, values: Mapping[str, Value]) -> Verdict:
        """Object to a wrong security code; fixed time is not implemented."""
        shown = values.get("oldSecurityCode", values.get("securityCode", self.security_code))
        wrong = shown != self.security_code
        return Verdict(code != "M0007", "wrong security code" if wrong else "")

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Carry out plans, inputs, priorities and changes of the security code."""
        self.executed.append((component, code))
        if self.deaf:
            return
        if code == "M0002":
            self.set("S0014", "status", values["timeplan"])
            self.set("S0014", "source", "forced")
        elif code == "M0103":
            self.security_code = str(values["newSecurityCode"])
        elif code == "M0006":
            self.set("S0003", "inputstatus", "0100" if values["status"] == "True" else "0000")
        elif code == "M0022":
            rows: Rows = ({"r": str(values["requestId"]), "t": "2026-01-01T00:00:00.000Z", "s": "activated"},)
            self.set("S0033", "status", rows)


def ids() -> Callable[[], str]:
    """Return a source of message ids that a recording can repeat."""
    numbers = itertools.count(1)
    return lambda: f"00000000-0000-4000-8000-{next(numbers):012x}"


@dataclass
class Link:
    """Two sessions, what they said to each other, and what they told their owners."""

    core: Release = NEWEST
    listed: Release = TLC_RELEASES[-1]
    known: KnownSite = field(default_factory=lambda: KnownSite(CONTROLLER))
    cabinet: Cabinet = field(default_factory=Cabinet)
    settings: LinkSettings = field(default_factory=LinkSettings)
    buffered: frozenset[StatusName] = frozenset()
    identity: SiteIdentity | None = None
    said: list[tuple[str, bytes]] = field(default_factory=list)
    """Who sent which packet."""
    told: list[Event] = field(default_factory=list)
    """Events of the supervisor."""
    site_told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Join the sessions; nothing is said yet."""
        self.new_id = ids()
        self.now = Instant(0.0, START)
        self.state = SiteState(self.cabinet, tlc(self.listed), self.buffered)
        self.join()

    def join(self) -> None:
        """Begin a new link over the memories of both sides."""
        identity = self.identity or SiteIdentity((SITE,), str(self.listed), (str(self.core),))
        directory = {SITE: self.known}.get
        self.supervisor = SupervisorSession(directory, self.settings, self.new_id, self.now)
        self.site = SiteSession(identity, self.state, self.settings, self.new_id, self.now)

    def pump(self) -> None:
        """Carry bytes both ways until nobody has more to say."""
        moved = True
        while moved:
            moved = False
            for name, sender, receiver in (
                ("site", self.site, self.supervisor),
                ("supervisor", self.supervisor, self.site),
            ):
                output = sender.take_output()
                self.said += [(name, packet) for packet in output.split(b"\f") if packet]
                if output:
                    receiver.receive(output, self.now)
                    moved = True
            self.told += self.supervisor.take_events()
            self.site_told += self.site.take_events()

    def ready(self) -> "Link":
        """Complete the handshake."""
        self.pump()
        assert self.supervisor.phase is self.site.phase is Phase.READY
        return self

    def advance(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass on both sides."""
        for _ in range(round(seconds / step_s)):
            self.now = Instant(self.now.at_s + step_s, self.now.utc + timedelta(seconds=step_s))
            self.supervisor.tick(self.now)
            self.site.tick(self.now)
            self.site.refresh(self.now)
            self.pump()

    def break_off(self) -> None:
        """Lose the link; neither side is told by the other."""
        for session in (self.supervisor, self.site):
            session.take_output()
            session.close("the connection broke", self.now)
        self.told += self.supervisor.take_events()

    def heard[T](self, kind: type[T]) -> list[T]:
        """Return the events of one kind that the supervisor told."""
        return [each for each in self.told if isinstance(each, kind)]
