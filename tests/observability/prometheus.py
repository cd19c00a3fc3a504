"""A real Prometheus that reads a running stack once a second and knows the chart's rules."""

import json
import math
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.observability.queries import RULES
from tests.observability.tools import binary

from maasloop.core.clock import SystemClock
from maasloop.stack.ports import free_ports

START_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 20.0
PAUSE_S = 0.1


class Line(NamedTuple):
    """A series that a query gave: its labels, and its points of time and value."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    """Asked over HTTP."""

    def __init__(self, address: str) -> None:
        """Ask there."""
        self._address = address

    def now(self, expression: str) -> list[float]:
        """Return the finite values of an expression at present."""
        found = self._ask("query", query=expression)["result"]
        return [value for one in found if math.isfinite(value := float(one["value"][1]))]

    def over(self, expression: str, seconds: int, step_s: int = 1) -> list[Line]:
        """Return the lines of an expression over the last seconds, finite points only."""
        end_s = SystemClock().now_us() / 1e6
        found = self._ask("query_range", query=expression, start=end_s - seconds, end=end_s, step=step_s)["result"]
        return [
            Line(one["metric"], [(float(at), float(it)) for at, it in one["values"] if math.isfinite(float(it))])
            for one in found
        ]

    def ready(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=ASK_TIMEOUT_S):
                return True
        except OSError:
            return False

    def _ask(self, what: str, **parameters: object) -> dict[str, Any]:
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data


@contextmanager
def watching(targets: Mapping[str, str], directory: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that reads these addresses by name of their job."""
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULES],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [address]}]} for name, address in targets.items()
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [
        binary("prometheus"),
        f"--config.file={directory}/prometheus.yaml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address={address}",
    ]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            clock = SystemClock()
            prometheus, end_s = Prometheus(address), clock.monotonic_s() + START_TIMEOUT_S
            while not prometheus.ready():
                if process.poll() is not None or clock.monotonic_s() > end_s:
                    raise RuntimeError((directory / "prometheus.log").read_text()[-2_000:])
                threading.Event().wait(PAUSE_S)
            yield prometheus
        finally:
            process.terminate()
            process.wait()
