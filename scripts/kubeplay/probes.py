"""Probes as a kubelet runs them: each at its period, from outside, with a restart after enough failures in a row."""

import http.client
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

type Ask = Callable[["Probe", str], bool]
"""Whether a pod at an address answers a probe."""

DEFAULT_PERIOD_S, DEFAULT_FAILURES, DEFAULT_TIMEOUT_S = 10, 3, 1
"""Kubernetes' own."""
SUCCESS = range(200, 400)


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container."""

    kind: str
    """``startup``, ``liveness`` or ``readiness``."""
    port: int
    path: str
    """Of an HTTP request; empty: a connection is enough."""
    period_s: float
    failures: int
    timeout_s: float


def probes_of(container: dict[str, Any]) -> Iterable[Probe]:
    """Return the probes of a container; named ports are its own."""
    ports = {each["name"]: int(each["containerPort"]) for each in container.get("ports", [])}
    for kind in ("startup", "liveness", "readiness"):
        declared = container.get(f"{kind}Probe")
        if declared is None:
            continue
        action = declared.get("httpGet") or declared["tcpSocket"]
        yield Probe(
            kind,
            ports.get(action["port"], action["port"]),
            str(declared.get("httpGet", {}).get("path", "")),
            float(declared.get("periodSeconds", DEFAULT_PERIOD_S)),
            int(declared.get("failureThreshold", DEFAULT_FAILURES)),
            float(declared.get("timeoutSeconds", DEFAULT_TIMEOUT_S)),
        )


def ask(probe: Probe, address: str) -> bool:
    """Ask once."""
    try:
        if not probe.path:
            socket.create_connection((address, probe.port), timeout=probe.timeout_s).close()
            return True
        connection = http.client.HTTPConnection(address, probe.port, timeout=probe.timeout_s)
        try:
            connection.request("GET", probe.path)
            return connection.getresponse().status in SUCCESS
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


class Watched:
    """A pod under watch: until its startup probe has succeeded no other is asked, as in Kubernetes."""

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        """Begin with every probe due."""
        self.probes = probes
        self.restarted()

    def restarted(self) -> None:
        """Begin again, with every probe due."""
        self._due_s = dict.fromkeys(self.probes, 0.0)
        self._failed = dict.fromkeys(self.probes, 0)
        self.started = not any(probe.kind == "startup" for probe in self.probes)
        self.ready = self.started and not any(probe.kind == "readiness" for probe in self.probes)

    def look(self, address: str, now_s: float, ask_once: Ask = ask) -> str:
        """Ask what is due; return why the pod must be restarted, or nothing."""
        for probe in self.probes:
            if (probe.kind == "startup") == self.started or now_s < self._due_s[probe]:
                continue
            self._due_s[probe] = now_s + probe.period_s
            good = ask_once(probe, address)
            self._failed[probe] = 0 if good else self._failed[probe] + 1
            failed = self._failed[probe] >= probe.failures
            if probe.kind == "startup" and good:
                self.started = True
                self.ready = not any(each.kind == "readiness" for each in self.probes)
            elif probe.kind == "readiness":
                self.ready = good or (self.ready and not failed)
            elif failed:
                return f"{probe.kind} probe failed {probe.failures} times"
        return ""
