"""The whole demo: starts servers, services and receivers, lets the act be performed, and sums up."""

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from rich.console import Console

from maasloop.core.clock import Clock, SystemClock
from maasloop.stack.local import LocalStack, StackOptions
from maasloop.stack.ports import free_ports
from maasloop.stack.services import setting_name
from maasloop.twin.demo.act import Outcome, Props, perform
from maasloop.twin.demo.alerting import LOOPBACK, Receivers, running_receivers
from maasloop.twin.demo.background import in_background
from maasloop.twin.demo.earlier import district_name
from maasloop.twin.demo.places import connected_to
from maasloop.twin.demo.summary import Street, Summary, problems, sentences, summarise, warnings
from maasloop.twin.play.assemble import Course
from maasloop.twin.play.baseline import Baseline
from maasloop.twin.play.cast import every_second, gather_cast
from maasloop.twin.play.decisions import DECISION_DEADLINE_S
from maasloop.twin.play.run import first_second
from maasloop.twin.play.sites import Supervision
from maasloop.twin.street.delay import mean_delay_s
from maasloop.twin.street.judge import judge_records, read_states, seconds_recorded
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.simulation import StreetSimulation
from maasloop.twin.street.site import read_site

SUMMARY = "summary.json"
SECURITY_CODE = "rsmp-code"
"""File of the code that RSMP sites of the demo need; each demo draws one."""
CODE_BYTES = 8
VIOLATIONS_TOLD_MAX = 10


@dataclass(frozen=True)
class DemoOptions:
    """What a person may choose."""

    duration_s: int = 600
    speed: float = 10.0
    seed: int = 7
    scenario: str = "cologne8"
    decision_deadline_s: float = DECISION_DEADLINE_S
    """Wall time that the street waits for the decision on a second; later it counts as late."""


@dataclass(frozen=True)
class Ended:
    """How a demo ended; ``problems`` make it a failure."""

    summary: Summary
    problems: list[str]
    warnings: list[str]
    sentences: list[str]


type Interference = Callable[[LocalStack, int], Awaitable[None]]
"""Gets the running stack and the street seconds passed."""


async def _leave_alone(stack: LocalStack, passed_s: int) -> None:
    """Break nothing."""


class Demo:
    """One demo; ``run`` does everything and returns how it ended."""

    def __init__(
        self,
        root: Path,
        options: DemoOptions,
        console: Console,
        *,
        clock: Clock | None = None,
        interfere: Interference | None = None,
    ) -> None:
        """Take the checkout whose ``.maasloop`` holds the state; ``interfere`` is for tests that break things."""
        self._root = root
        self._options = options
        self._console = console
        self._clock = clock or SystemClock()
        self._interfere = interfere or _leave_alone
        self._directory = root / ".maasloop" / "demo"
        self._baseline = Baseline()

    async def run(self) -> Ended:
        """Start everything, play, account, stop everything; raises ``StackError`` where something does not start."""
        began_s = self._clock.monotonic_s()
        options = self._options
        site = read_site(load_scenario(options.scenario))
        self._directory.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            receivers = stack.enter_context(running_receivers())
            supervision = _supervision(self._directory / SECURITY_CODE)
            environment = _mail_settings(receivers) | _rsmp_settings(supervision)
            stack_options = StackOptions(environment=environment, progress=self._tell)
            local = await stack.enter_async_context(LocalStack(self._root, stack_options))
            state = local.state(ready=True)
            fixed = self._baseline.run(options.scenario, options.seed, options.duration_s, self._directory / "fixed")
            compared = await stack.enter_async_context(in_background(fixed))
            connections = await stack.enter_async_context(connected_to(state))
            now = self._clock.now()
            district, code = district_name(site.scenario.name, now), supervision.reference
            cast = gather_cast(district, site, by_bands=every_second(site), security_code=code)
            receivers.district = cast.district
            cycles_s = sorted({junction.local.cycle_s for junction in site.junctions})
            begin_s = first_second(self._clock.now_us(), options.duration_s, site.scenario.begin_s, cycles_s)
            course = Course(begin_s, options.duration_s, options.speed, options.seed, options.decision_deadline_s)
            props = Props(
                state=state,
                connections=connections,
                receivers=receivers,
                baseline=self._baseline,
                supervision=supervision,
                console=self._console,
                clock=self._clock,
                work_dir=self._directory,
                tell=self._tell,
                interfere=partial(self._interfere, local),
            )
            outcome = await perform(cast, course, props)
            await compared
            street = self._judge(outcome.simulation, outcome.play.street.shown_afterwards)
        return self._end(outcome, receivers, street, self._clock.monotonic_s() - began_s)

    def _judge(self, simulation: StreetSimulation, afterwards: Sequence[Mapping[str, str]]) -> Street:
        scenario, junctions = simulation.site.scenario, simulation.site.junctions
        ends_s = scenario.begin_s + simulation.duration_s
        # The way back to local control is judged as well, though no traffic is left that SUMO could record it with.
        later = ((ends_s + n, one.tls, shown[one.id]) for n, shown in enumerate(afterwards) for one in junctions)
        violations = judge_records(scenario.net, chain(read_states(simulation.states_file), later))
        for violation in violations[:VIOLATIONS_TOLD_MAX]:
            self._tell(f"second {violation.second}, {violation.junction}: {violation.rule} {violation.groups}")
        recorded = seconds_recorded(simulation.states_file)
        unjudged_s = sum(max(0, simulation.duration_s - recorded[one.tls]) for one in junctions)
        delay_s = mean_delay_s(simulation.tripinfo)
        return Street(len(violations), unjudged_s, delay_s, self._baseline.mean_delay_s)

    def _end(self, outcome: Outcome, receivers: Receivers, street: Street, wall_s: float) -> Ended:
        play, account = outcome.play, outcome.account
        summary = summarise(play, account, receivers, street, wall_s=wall_s, versions=outcome.versions)
        path = self._directory / SUMMARY
        path.write_text(json.dumps(summary.to_json(), indent=2) + "\n", encoding="utf-8")
        noted = list(warnings(summary, outcome.withdrawal, play.tally))
        steep_s = sum(mounted.lamp.ramp_violations for mounted in play.street.lamps)
        if steep_s:
            noted.append(f"lamps became darker faster than people bear for {steep_s} lamp seconds")
        if self._baseline.error:
            noted.append(f"the run of the fixed plan failed: {self._baseline.error}")
        told = list(sentences(summary, outcome.withdrawal))
        return Ended(summary, list(problems(summary, account, unjudged_s=street.unjudged_s)), noted, told)

    def _tell(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _supervision(path: Path) -> Supervision:
    """Choose where sites connect, and write their code to a file that its owner alone can read."""
    code = secrets.token_hex(CODE_BYTES)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{code}\n")
    (port,) = free_ports(1)
    return Supervision(LOOPBACK, port, code, f"file:{path.resolve()}")


def _rsmp_settings(supervision: Supervision) -> dict[str, str]:
    return {setting_name("actuation", "rsmp_address"): f"{supervision.host}:{supervision.port}"}


def _mail_settings(receivers: Receivers) -> dict[str, str]:
    return {
        setting_name("notification", "smtp_host"): LOOPBACK,
        setting_name("notification", "smtp_port"): str(receivers.smtp_port),
    }
