"""How many RSMP sites one supervisor holds: ``make bench-rsmp`` writes ``.maasloop/bench/rsmp.json``.

One process is the supervisor, with the translation to readings that the driver has; another one is all sites, over real
sockets. Each site tells its signal groups once a second; the supervisor orders plans and bands, one site after another,
and counts the time until a status shows them. A watchdog is missed where a side hears none of the other's for more than
``WATCHDOG_S`` and ``GRACE_S``.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.load import figures, machine

from maasloop.actuation.adapters.rsmp.observations import Translator
from maasloop.core.clock import SystemClock
from maasloop.rsmp.errors import NotSendable
from maasloop.rsmp.events import (
    ClockTold,
    Closed,
    CommandEnded,
    Established,
    Event,
    Outcome,
    PeerMistaken,
    PeerSilent,
    Reading,
    Refused,
    StatusReported,
)
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import Quality, StatusName, Value
from maasloop.rsmp.session import LinkSettings
from maasloop.rsmp.site import SiteIdentity
from maasloop.rsmp.site_state import SiteState, Verdict
from maasloop.rsmp.supervised import SupervisedSite
from maasloop.rsmp.supervising import Supervision
from maasloop.rsmp.transport import SiteClient, TransportSettings

OUTPUT = Path(".maasloop/bench/rsmp.json")
CONTROLLER = "TC"
CODE = "0000"
WATCHDOG_S = 60.0
GRACE_S = 5.0
COMMANDS_A_SECOND = 20.0
READY_TIMEOUT_S = 120.0
LIMITS = {"verified_p99_ms": 500.0, "watchdogs_missed": 0.0, "supervisor_peak_mib": 256.0}


class Cabinet:
    """A controller that does at once what it is told."""

    def __init__(self) -> None:
        """Run plan 1."""
        self._began_s = time.monotonic()
        self._values: dict[StatusName, Value] = {
            StatusName("S0001", "signalgroupstatus"): "1B1B",
            StatusName("S0001", "basecyclecounter"): "0",
            StatusName("S0001", "stage"): "1",
            StatusName("S0014", "status"): "1",
            StatusName("S0014", "source"): "calendar_clock",
            StatusName("S0023", "status"): "",
        }

    def components(self) -> Mapping[str, str]:
        """Return the controller alone."""
        return {CONTROLLER: "controller"}

    def read(self, component: str, name: StatusName) -> Reading:
        """Return a value now; the cycle counter counts seconds."""
        value = self._values.get(name)
        if name == StatusName("S0001", "cyclecounter"):
            value = str(int(time.monotonic() - self._began_s) % 90)
        return Reading(name.code, name.name, value, Quality.UNKNOWN if value is None else Quality.RECENT)

    def judge(self, component: str, code: str, values: Mapping[str, Value]) -> Verdict:
        """Take plans and bands with the right code."""
        wrong = values.get("securityCode") != CODE
        return Verdict(code in {"M0002", "M0014"}, "wrong security code" if wrong else "")

    def execute(self, component: str, code: str, values: Mapping[str, Value]) -> None:
        """Change the plan or its bands."""
        if code == "M0002":
            self._values[StatusName("S0014", "status")] = values["timeplan"]
        else:
            self._values[StatusName("S0023", "status")] = f"{values['plan']}-{values['status']}"


def site_id(number: int) -> str:
    """Return the id of a site."""
    return f"RN+SI{number:04}"


async def play_sites(count: int, port: int) -> dict[str, Any]:
    """Be all sites until SIGTERM, and return what they heard of watchdogs."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    heard_s: dict[int, float] = {}
    gaps_s: list[float] = []
    told = {"closed": 0}
    link = TransportSettings(link=LinkSettings(watchdog_interval_s=WATCHDOG_S), reconnect_s=1.0)

    def hear(number: int, event: Event) -> None:
        now_s = time.monotonic()
        if isinstance(event, ClockTold):
            if number in heard_s:
                gaps_s.append(now_s - heard_s[number])
            heard_s[number] = now_s
        elif isinstance(event, Closed):
            told["closed"] += 1

    running = []
    for number in range(count):
        client = SiteClient(
            SiteIdentity((site_id(number),), "1.2.1"),
            SiteState(Cabinet(), tlc(TLC_RELEASES[-1])),
            lambda event, number=number: hear(number, event),  # type: ignore[misc]  # the type of a default in a lambda cannot be said
            SystemClock(),
            link,
        )
        running.append(asyncio.create_task(client.run("127.0.0.1", port)))
        await asyncio.sleep(1 / count)
    await stop.wait()
    late = [time.monotonic() - at_s for at_s in heard_s.values()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    missed = sum(gap > WATCHDOG_S + GRACE_S for gap in (*gaps_s, *late))
    return {"watchdogs_missed_by_sites": missed, "watchdogs_heard_by_sites": len(gaps_s) + len(heard_s)}


@dataclass
class Desk:
    """The supervisor, and what it counts."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(
        ("statuses", "readings", "closed", "silent", "mistaken", "refused", "established"), 0))  # fmt: skip
    sent_s: dict[str, float] = field(default_factory=dict)
    verified_s: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    translators: dict[str, Translator] = field(default_factory=dict)

    def hear(self, site: SupervisedSite | None, event: Event) -> None:
        """Count, and translate as the driver does."""
        kinds = {Closed: "closed", PeerSilent: "silent", PeerMistaken: "mistaken", Refused: "refused",
                 Established: "established", StatusReported: "statuses"}  # fmt: skip
        if name := kinds.get(type(event)):
            self.counts[name] += 1
        if isinstance(event, CommandEnded):
            self.outcomes[event.outcome.value] = self.outcomes.get(event.outcome.value, 0) + 1
            if event.outcome is Outcome.CONFIRMED:
                self.verified_s.append(time.perf_counter() - self.sent_s.pop(event.command_id))
        elif site is not None:
            self.counts["readings"] += len(self.translators[site.site_ids[0]].readings(event))


async def supervise(count: int, seconds: float) -> dict[str, Any]:
    """Be the supervisor: wait for all sites, then order for some seconds; tells its port first."""
    desk = Desk()
    settings = TransportSettings(link=LinkSettings(watchdog_interval_s=WATCHDOG_S, silence_s=WATCHDOG_S + GRACE_S))
    supervision = Supervision(desk.hear, SystemClock(), settings, lambda _: CODE)
    for number in range(count):
        site = SupervisedSite(
            (site_id(number),),
            CONTROLLER,
            signal_groups={each: each for each in ("A1", "A2", "B1", "B2")},
            security_codes={2: "env:UNUSED"},
            traffic_interval_s=0,
        )
        desk.translators[site_id(number)] = Translator(site_id(number), site, tuple(site.signal_groups.values()))
        supervision.put(site)
    _, port = await supervision.start("127.0.0.1", 0)
    print(port, flush=True)
    async with asyncio.timeout(READY_TIMEOUT_S):
        while len(supervision.linked) < count:
            await asyncio.sleep(0.1)
    desk.counts = dict.fromkeys(desk.counts, 0)
    began_s = time.monotonic()
    cpu_s = time.process_time()
    await _order(supervision, desk, count, seconds)
    lasted_s = time.monotonic() - began_s
    found = {
        "sites": count,
        "seconds": round(lasted_s),
        "linked_at_the_end": len(supervision.linked),
        "statuses_a_second": round(desk.counts["statuses"] / lasted_s, 1),
        "readings_a_second": round(desk.counts["readings"] / lasted_s, 1),
        **{name: desk.counts[name] for name in ("closed", "silent", "mistaken", "refused")},
        "commands": desk.outcomes,
        **figures.latencies("verified", desk.verified_s),
        "supervisor_peak_mib": _peak_mib(),
        "supervisor_cores": round((time.process_time() - cpu_s) / lasted_s, 3),
    }
    await supervision.close()
    return found


async def _order(supervision: Supervision, desk: Desk, count: int, seconds: float) -> None:
    """Order a plan or bands of one site after another."""
    ends_s = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends_s:
        site, turn = site_id(number % count), number // count
        code, values = "M0002", {"status": "True", "timeplan": str(1 + turn % 2)}
        if number % 2:
            code, values = "M0014", {"plan": "1", "status": f"1-{1 + turn % 20}"}
        began_s = time.perf_counter()
        try:
            desk.sent_s[supervision.command(site, CONTROLLER, code, values)] = began_s
        except NotSendable as error:
            desk.outcomes[error.reason] = desk.outcomes.get(error.reason, 0) + 1
        number += 1
        await asyncio.sleep(1 / COMMANDS_A_SECOND)
    # What was ordered last has its time as well.
    await asyncio.sleep(2.0)


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _run(count: int, seconds: float) -> dict[str, Any]:
    """Start both processes, wait, and put their figures together."""
    command = [sys.executable, "-m", "tests.load.rsmp_sites", "--sites", str(count), "--seconds", str(seconds)]
    with subprocess.Popen([*command, "--role", "supervisor"], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        port = supervisor.stdout.readline().strip()
        playing = [*command, "--role", "sites", "--port", port]
        with subprocess.Popen(playing, stdout=subprocess.PIPE, text=True) as sites:
            try:
                printed = supervisor.stdout.read()
            finally:
                sites.terminate()
            heard, _ = sites.communicate(timeout=60)
    if not printed or not heard:
        raise SystemExit("the supervisor or the sites ended before they were done: see above")
    told: dict[str, Any] = json.loads(printed) | json.loads(heard)
    # A site that goes before the supervisor stops closes its link; that counts before only.
    told["watchdogs_missed"] = told["watchdogs_missed_by_sites"] + told["silent"] + told["closed"]
    return told


def main() -> int:
    """Measure, print and write; a limit that is not met makes the status 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--role", choices=("supervisor", "sites"))
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    if asked.role == "supervisor":
        print(json.dumps(asyncio.run(supervise(asked.sites, asked.seconds))), flush=True)
        return 0
    if asked.role == "sites":
        print(json.dumps(asyncio.run(play_sites(asked.sites, asked.port))), flush=True)
        return 0
    about = machine.about()
    told = _run(asked.sites, asked.seconds)
    for name, value in told.items():
        print(f"{name:<28} {value}")
    verdicts = [figures.judged(name, told, at_most=limit) for name, limit in LIMITS.items()]
    print("\n".join(verdicts))
    machine.write(OUTPUT, {"machine": about, "rsmp": told, "limits": verdicts})
    return 0 if all(told[name] <= limit for name, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
