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
        self._interval: int | None = 0
        """Of the start-up, while it goes on."""
        self._ends_s = now_s + start_up.self_test_s + start_up.interval_s
        self._back: tuple[float, Position] | None = None

    @property
    def starting(self) -> bool:
        """Tell whether the start-up goes on."""
        return self._interval is not None

    @property
    def in_control(self) -> bool:
        """Tell whether signal groups follow plans."""
        return self.position is Position.NORMAL_CONTROL and not self.starting

    def order(self, position: Position, timeout_s: float, now_s: float) -> None:
        """Take a position; after a time-out other than 0 the one before returns, also where it is ordered again."""
        prolonged = self._back if position is self.position else None
        before = prolonged[1] if prolonged else self.position
        self._back = (now_s + timeout_s, before) if timeout_s else None
        self._take(position, ORDERED, now_s)

    def step(self, now_s: float) -> None:
        """Let time pass."""
        if self._back is not None and now_s >= self._back[0]:
            position, self._back = self._back[1], None
            self._take(position, RUN_OUT, now_s)
        # One interval a step: late steps make it longer, and leave none out.
        if self._interval is not None and now_s >= self._ends_s:
            self._interval += 1
            self._ends_s = now_s + self._start_up.interval_s
            if self._interval == len(self._start_up.sequence):
                self._interval = None

    @property
    def shown(self) -> str:
        """Return the character that all groups show; empty in control."""
        if self.position is not Position.NORMAL_CONTROL:
            return SHOWN[self.position]
        return "" if self._interval is None else self._start_up.sequence[self._interval]

    def _take(self, position: Position, source: str, now_s: float) -> None:
        if position is not Position.NORMAL_CONTROL:
            self._interval = None
        elif self.position is not Position.NORMAL_CONTROL:
            self._interval, self._ends_s = 0, now_s + self._start_up.interval_s
        self.position, self.source = position, source
