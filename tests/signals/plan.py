"""What a run of the bench is, and what it gave."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

STREET_SECONDS = 3_600
ACTUATED = ("actuated", "actuated-local")
"""SUMO's actuated control over the phases of the network's own programme, and over those of the local one: our clearances."""
CONTROLLERS = (
    "fixed",
    *ACTUATED,
    "local",
    "maxpressure",
    "maasloop",
    "maasloop-no-priority",
    "maasloop-bands",
)
WITHOUT_PRIORITY = "maasloop-no-priority"
"""The same as ``maasloop``, but deaf to buses and ambulances: what their priority costs is seen beside it."""
ON_PLATFORM = ("maasloop",)
"""Controllers that the platform has; the others run as a library always."""
UNDETECTED = ("fixed", *ACTUATED, "local", "maxpressure")
"""Controllers that hear nothing of our detectors: they have none, or SUMO's own."""
DETECTIONS = ("area", "loops", "area-blind")


@dataclass(frozen=True)
class Run:
    """One hour of one network under one controller with one seed."""

    scenario: str
    controller: str
    seed: int
    seconds: int = STREET_SECONDS
    detection: str = "area"
    detectors_dead: float = 0.0
    kill_at: int | None = None
    restart_at: int | None = None
    platform: bool = False
    """Through the six services in lockstep; else controller and kernel are a library."""
    kernel: bool = True
    """Off only where a test shows that the reader notices it."""

    @property
    def name(self) -> str:
        """Return the name of the folder of the run's files."""
        place = self.scenario.replace("/", "_").removesuffix(".sumocfg").strip("_.")
        return f"{place}-{self.controller}-{self.seed}"

    def to_json(self) -> str:
        """Return the run as one line for a process of its own."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Outcome:
    """What one run gave. Delays and waits are seconds a trip; a wait is standing time after the departure."""

    run: Run
    mean_delay_s: float
    p99_wait_s: float
    max_wait_s: float
    stops: float
    trips: int
    not_departed: int
    violations: int
    gridlock: str
    """What stood still, and when; empty where nothing did."""
    red_called_max_s: float
    decision_ms_mean: float
    """Of one junction; through the platform of all, from the clock's word until commands are at their devices."""
    decision_ms_p99: float
    refused: dict[str, int]
    releases: int
    processor_s: float
    local_after_kill_s: int | None = None
    """Seconds after the kill until every junction followed its local programme."""
    delay_after_kill_s: float | None = None
    """Mean delay of the trips that were to depart after the kill."""
    road_users: dict[str, dict[str, float]] = field(default_factory=dict)
    """Figures by kind of road user; empty where there are only cars."""
    remote_after_restart_s: int | None = None
    """Seconds after the restart until every junction was under control again."""

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as flat JSON data."""
        told = asdict(self)
        return {**told.pop("run"), **told}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """Read what ``to_json`` gave."""
        names = Run.__dataclass_fields__
        run = Run(**{name: told[name] for name in names})
        return cls(run, **{name: value for name, value in told.items() if name not in names})
