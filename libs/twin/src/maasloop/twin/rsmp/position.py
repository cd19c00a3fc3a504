"""The functional position of a controller (command M0001), and its way back to control by the start-up."""

from enum import StrEnum

from .sheet import StartUpSheet

POWER_ON = "startup"
ORDERED = "forced"
RUN_OUT = "calendar_clock"


class Position(StrEnum):
    """What a controller is ordered to do."""

    NORMAL_CONTROL = "NormalControl"
    YELLOW_FLASH = "YellowFlash"
    DARK = "Dark"


SHOWN = {Position.YELLOW_FLASH: "c", Position.DARK: "b"}


class FunctionalPosition:
    """Yellow flash and dark begin at once, for neither gives anybody a right of way; control begins by the start-up."""

    def __init__(self, start_up: StartUpSheet, now_s: float) -> None:
        """Power on."""
        self.position = Position.NORMAL_CONTROL
        self.source = POWER_ON
        """As the exchange list names sources."""
        self._start_up = start_up
        self._started_s: float | None = now_s
        self._first_s = start_up.interval_s + start_up.self_test_s
        self._back: tuple[float, Position] | None = None

    @property
    def starting(self) -> bool:
        """Tell whether the start-up goes on."""
        return self._started_s is not None

    @property
    def in_control(self) -> bool:
        """Tell whether signal groups follow plans."""
        return self.position is Position.NORMAL_CONTROL and not self.starting

    def order(self, position: Position, timeout_s: float, now_s: float) -> None:
        """Take a position; after a time-out other than 0 the one before returns."""
        self._back = (now_s + timeout_s, self.position) if timeout_s else None
        self._take(position, ORDERED, now_s)

    def step(self, now_s: float) -> None:
        """Let time pass."""
        if self._back is not None and now_s >= self._back[0]:
            position, self._back = self._back[1], None
            self._take(position, RUN_OUT, now_s)
        length_s = self._first_s + (len(self._start_up.sequence) - 1) * self._start_up.interval_s
        if self._started_s is not None and now_s - self._started_s >= length_s:
            self._started_s = None

    def shown(self, now_s: float) -> str:
        """Return the character that all groups show; empty in control."""
        if self.position is not Position.NORMAL_CONTROL:
            return SHOWN[self.position]
        if self._started_s is None:
            return ""
        into_s = now_s - self._started_s - self._first_s
        index = 0 if into_s < 0 else 1 + int(into_s / self._start_up.interval_s)
        return self._start_up.sequence[min(index, len(self._start_up.sequence) - 1)]

    def _take(self, position: Position, source: str, now_s: float) -> None:
        if position is not Position.NORMAL_CONTROL:
            self._started_s = None
        elif self.position is not Position.NORMAL_CONTROL:
            self._started_s, self._first_s = now_s, self._start_up.interval_s
        self.position, self.source = position, source
