"""The living picture of the city in the terminal; where there is none, a line every five seconds."""

from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from maasloop.core.clock import Clock
from maasloop.twin.demo.watching import Watching
from maasloop.twin.play.baseline import Baseline
from maasloop.twin.play.delay_so_far import DelayMeter
from maasloop.twin.play.run import Play

REFRESH_S = 0.25
LINE_EVERY_S = 5.0
JUNCTIONS_MAX = 16
BAR_LENGTH = 30
_COLOURS = {"r": "red", "y": "yellow", "G": "green", "g": "dark_green"}


@dataclass
class Scene:
    """What the picture shows."""

    play: Play
    watching: Watching
    baseline: Baseline
    delay: DelayMeter


class Picture:
    """Shows a scene; call ``show`` after every second."""

    def __init__(self, scene: Scene, console: Console, clock: Clock) -> None:
        """Prepare; use as a context manager."""
        self._scene = scene
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._shown_s = 0.0
        self._began_s = clock.monotonic_s()

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        if self._live is not None:
            self._live.stop()

    def show(self, passed_s: int) -> None:
        """Show the second that just passed, if it is time to."""
        now_s = self._clock.monotonic_s()
        if now_s - self._shown_s < (LINE_EVERY_S if self._live is None else REFRESH_S):
            return
        self._shown_s = now_s
        if self._live is None:
            self._console.print(self._line(passed_s), highlight=False, soft_wrap=True)
        else:
            self._live.update(self._drawing(passed_s), refresh=True)

    def _line(self, passed_s: int) -> str:
        commands = " ".join(f"{state.lower()} {count}" for state, count in self._commands())
        return (
            f"{passed_s:>5} s  {self._rate():>6.0f} readings/s  {self._scene.watching.balance.stored_count:>8} rows"
            f"  loop {self._latency()}  delay {self._delay(passed_s)}  {commands}"
        )

    def _drawing(self, passed_s: int) -> Group:
        figures = Table.grid(padding=(0, 2))
        for name, value in (
            ("street", f"{passed_s} of {self._scene.play.duration_s} s"),
            ("readings", f"{self._rate():,.0f} a second"),
            ("rows", f"{self._scene.watching.balance.stored_count:,}"),
            ("loop", self._latency()),
            ("late decisions", str(self._scene.play.tally.late_decisions)),
            ("delay so far", self._delay(passed_s)),
        ):
            figures.add_row(Text(name, style="dim"), value)
        commands = Table.grid(padding=(0, 2))
        for state, count in self._commands():
            commands.add_row(Text(state.lower(), style="dim"), str(count))
        upper = Columns(
            [Panel(figures, title="city"), Panel(commands, title="commands"), Panel(self._lamps(), title="lamps")]
        )
        return Group(upper, Panel(self._junctions(), title="junctions"))

    def _junctions(self) -> Table:
        street = self._scene.play.street
        table = Table.grid(padding=(0, 2))
        by_stages = {name: ("stages", one.device) for name, one in street.controllers.items()}
        by_bands = {name: ("bands", one.cabinet.device) for name, one in street.sites.by_id.items()}
        for junction_id, (hand, device) in sorted((by_stages | by_bands).items())[:JUNCTIONS_MAX]:
            state = Text()
            for aspect in device.state:
                state.append("●", style=_COLOURS.get(aspect, "white"))
            queue = street.queues.get(junction_id, 0)
            ruler = hand if device.remote else "local"
            table.add_row(junction_id[-16:], f"{queue:>2} waiting", Text(ruler, style="dim"), state)
        return table

    def _lamps(self) -> Table:
        levels = Counter(round(mounted.lamp.level_percent / 10) * 10 for mounted in self._scene.play.street.lamps)
        most = max(levels.values(), default=1)
        table = Table.grid(padding=(0, 1))
        for level in sorted(levels, reverse=True):
            bar = "█" * max(1, round(BAR_LENGTH * levels[level] / most))
            table.add_row(f"{level:>3} %", Text(bar, style="yellow"), str(levels[level]))
        return table

    def _commands(self) -> list[tuple[str, int]]:
        return sorted(self._scene.watching.commands_by_state.items())

    def _rate(self) -> float:
        passed_s = self._clock.monotonic_s() - self._began_s
        return self._scene.play.tally.readings_sent / passed_s if passed_s > 0 else 0.0

    def _latency(self) -> str:
        latency_ms = self._scene.play.tally.latency_ms(0.5)
        return "-" if latency_ms is None else f"{latency_ms:.0f} ms"

    def _delay(self, passed_s: int) -> str:
        fixed = self._scene.baseline.at(passed_s)
        return f"{self._scene.delay.mean_s:.1f} s" + ("" if fixed is None else f" (fixed plan {fixed:.1f} s)")
