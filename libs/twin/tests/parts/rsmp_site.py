"""A site without a network, on a clock that the test moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maasloop.core.clock import to_us
from maasloop.rsmp.exchange_list import tlc
from maasloop.rsmp.messages import StatusName, Value
from maasloop.twin.rsmp.controller import SiteController
from maasloop.twin.rsmp.secret import SecurityCodes
from maasloop.twin.rsmp.sheet import SiteSheet

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "rsmp-site.yaml"
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
CODES = {1: "1111", 2: "2222"}
CODE = {"securityCode": "2222"}


@dataclass
class HandClock:
    """Moves when told."""

    passed_s: float = 0.0

    def now(self) -> datetime:
        """Return Monday and what has passed."""
        return MONDAY + timedelta(seconds=self.passed_s)

    def now_us(self) -> int:
        """Return the same in microseconds."""
        return to_us(self.now())

    def monotonic_s(self) -> float:
        """Return what has passed."""
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        """Pass that time at once."""
        self.passed_s += seconds


@dataclass
class Site:
    """A cabinet, its clock, and short words for what tests do with it."""

    sheet: SiteSheet
    clock: HandClock = field(default_factory=HandClock)
    each_step: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Power on."""
        self.cabinet = SiteController(self.sheet, SecurityCodes(CODES), self.clock)

    def wait(self, seconds: float) -> None:
        """Let time pass in the steps of the simulator."""
        for _ in range(round(seconds * 10)):
            self.clock.passed_s = round(self.clock.passed_s + 0.1, 1)
            self.cabinet.step()
            self.each_step()

    def read(self, code: str, name: str = "status", component: str = "TC") -> Value:
        """Return a value."""
        return self.cabinet.read(component, StatusName(code, name)).value

    def problem(self, code: str, values: dict[str, str], component: str = "TC") -> str:
        """Return why a command is refused, by the exchange list or by the cabinet, or an empty text."""
        values = CODE | values if code not in {"M0022", "M0103"} else values
        listed = tlc(self.cabinet.list.release).command_problem(code, (), values)
        return listed or self.cabinet.judge(component, code, values).objection

    def order(self, code: str, values: dict[str, str], component: str = "TC") -> None:
        """Carry out a command that must not be refused."""
        assert not self.problem(code, values, component)
        self.cabinet.execute(component, code, CODE | values)
