"""The data sheet of a site: what it is made of, how it is timed, and how it behaves on a link. YAML, checked as a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from maasloop.rsmp.dialect import DIALECTS, Release
from maasloop.rsmp.errors import RsmpError
from maasloop.rsmp.exchange_list import tlc
from maasloop.rsmp.messages import StatusName
from maasloop.rsmp.session import UNACKNOWLEDGED_MAX, LinkSettings
from maasloop.rsmp.transport import TransportSettings

from .groups import Times
from .lists import ListSheet
from .plans import Plan, Stage

SHEET_BYTES_MAX = 256 * 1024
LONGEST_S = 255
"""Longest cycle and offset of the exchange list."""
BAND_MAX_S = 99
"""Largest extension that status S0023 can write."""
BANDS_MAX = 10
NUMBER_MAX = 255

type Seconds = Annotated[float, Field(ge=0, le=3600)]
type Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class SheetInvalid(Exception):
    """The sheet contradicts itself or says what nobody knows; each line names the key."""


class Part(BaseModel):
    """A part of the sheet; a key that is not known is an error, and values are not echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LinkSheet(Part):
    """Times of the link in seconds; what is not said is as the standard has it."""

    acknowledgement_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    watchdog_interval_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    silence_s: Annotated[float, Field(gt=0, le=86_400)] = 180.0
    handshake_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    connect_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    reconnect_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    unacknowledged_max: Annotated[int, Field(ge=1, le=1000)] = UNACKNOWLEDGED_MAX
    """Messages that may be under way at once."""
    buffered_statuses: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Statuses, by code their names, whose updates are kept while there is no link."""
    clock_follows_supervisor: bool = False
    """The supervisor's watchdogs set the site's clock."""

    def transport(self) -> TransportSettings:
        """Return the settings of the transport."""
        link = LinkSettings(
            acknowledgement_timeout_s=self.acknowledgement_timeout_s,
            watchdog_interval_s=self.watchdog_interval_s,
            silence_s=self.silence_s,
            handshake_timeout_s=self.handshake_timeout_s,
            unacknowledged_max=self.unacknowledged_max,
        )
        return TransportSettings(link=link, reconnect_s=self.reconnect_s, connect_timeout_s=self.connect_timeout_s)

    @property
    def buffered(self) -> frozenset[StatusName]:
        """Return the buffered statuses one by one."""
        return frozenset(StatusName(code, name) for code, names in self.buffered_statuses.items() for name in names)


class StartUpSheet(Part):
    """From power on, or from yellow flash or dark, to control."""

    sequence: Annotated[str, Field(pattern=r"^[a-h]{1,8}$")] = "efg"
    """What all groups show, as status S0001 writes it, one character an interval."""
    interval_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    self_test_s: Seconds = 2.0
    """Longer first interval after power on."""
    restart_s: Seconds = 1.0
    """Without power, after command M0004."""


class GroupSheet(Part):
    """A signal group."""

    minimum_green_s: Annotated[float, Field(ge=1, le=120)] = 5.0
    yellow_s: Annotated[float, Field(ge=1, le=10)] = 3.5
    red_yellow_s: Annotated[float, Field(ge=0, le=5)] = 1.0

    def times(self) -> Times:
        """Return the times as the groups want them."""
        return Times(self.minimum_green_s, self.yellow_s, self.red_yellow_s)


class DetectorSheet(Part):
    """A detector logic and the vehicles that come over it, at random."""

    group: str
    """The signal group that lets them go."""
    vehicles_per_hour: Annotated[int, Field(ge=0, le=3600)] = 300


class StageSheet(Part):
    """A stage of a plan."""

    groups: tuple[str, ...]
    length_s: Annotated[int, Field(ge=1, le=LONGEST_S)]
    extension_s: Annotated[int, Field(ge=0, le=LONGEST_S)] = 0
    on_call: bool = False


class PlanSheet(Part):
    """A time plan."""

    cycle_s: Annotated[int, Field(ge=1, le=LONGEST_S)]
    offset_s: Annotated[int, Field(ge=0, le=LONGEST_S)] = 0
    coordinated: bool = False
    stages: Annotated[tuple[StageSheet, ...], Field(min_length=1, max_length=BANDS_MAX)]

    def plan(self, number: int) -> Plan:
        """Return the plan."""
        stages = (Stage(frozenset(each.groups), each.length_s, each.extension_s, each.on_call) for each in self.stages)
        return Plan(number, self.cycle_s, self.offset_s, self.coordinated, tuple(stages))


class SwitchSheet(Part):
    """A moment of a day table."""

    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """Local time."""
    plan: Annotated[int, Field(ge=0, le=16)]
    """0: none by the table."""


class InputSheet(Part):
    """What an input does while it is on."""

    alarm: str = ""
    """An alarm that it raises."""
    component: str = ""
    """Whose alarm that is."""
    values: Mapping[str, str] = Field(default_factory=dict)
    """What else the alarm tells."""
    all_red: bool = False


class InputsSheet(Part):
    """Inputs, numbered from 1."""

    count: Number = 16
    programming: Mapping[Number, InputSheet] = Field(default_factory=dict)


class PrioritySheet(Part):
    """How requests for priority (command M0022) live, in seconds."""

    activated_after_s: Seconds = 0.5
    stale_after_s: Seconds = 120.0
    """An activated request that nobody cancels ends."""
    queued_at_most_s: Seconds = 60.0
    cooldown_s: Seconds = 0.0
    """From the end of a request to the next for the same group."""


class CountingSheet(Part):
    """How traffic is counted, and the seed of the vehicles."""

    interval_s: Annotated[int, Field(ge=1, le=3600)] = 60
    seed: Annotated[int, Field(ge=0)] = 1


class SiteSheet(Part):
    """A site with one traffic light controller and one intersection."""

    site_id: Annotated[str, Field(min_length=1, max_length=80)]
    controller: Annotated[str, Field(min_length=1, max_length=80)]
    """Id of the main component."""
    core_versions: tuple[str, ...] = tuple(map(str, DIALECTS))
    exchange_lists: Annotated[tuple[ListSheet, ...], Field(min_length=1)]
    """The first is offered; the next one when a supervisor refuses it."""
    security_codes: Mapping[Literal[1, 2], Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")]]
    """By level a reference, ``env:NAME`` or ``file:PATH`` from the folder of the sheet; never the code."""
    link: LinkSheet = LinkSheet()
    start_up: StartUpSheet = StartUpSheet()
    signal_groups: Annotated[Mapping[str, GroupSheet], Field(min_length=1)]
    """In the order of status S0001."""
    intergreen_s: Mapping[str, Mapping[str, Seconds]] = Field(default_factory=dict)
    """By the group whose green ends, then by the one whose green begins; both directions of each conflict."""
    detector_logics: Mapping[str, DetectorSheet] = Field(default_factory=dict)
    counting: CountingSheet = CountingSheet()
    plans: Annotated[Mapping[Number, PlanSheet], Field(min_length=1)]
    default_plan: Number = 1
    """In use while nothing else chooses one, and when dynamic bands have timed out."""
    traffic_situations: Mapping[Number, Number] = {1: 1}
    """The plan of each situation; the lowest is in use while none is ordered."""
    week_table: Mapping[Annotated[int, Field(ge=0, le=6)], Annotated[int, Field(ge=1, le=12)]] = Field(
        default_factory=dict
    )
    """The day table of each week day, Monday 0."""
    day_tables: Mapping[Annotated[int, Field(ge=1, le=12)], tuple[SwitchSheet, ...]] = Field(default_factory=dict)
    time_zone: str = "UTC"
    """Of the day tables."""
    emergency_routes: Mapping[Number, tuple[str, ...]] = Field(default_factory=dict)
    """The groups that are green on each route."""
    inputs: InputsSheet = InputsSheet()
    outputs: Number = 16
    priority: PrioritySheet = PrioritySheet()

    @field_validator("core_versions")
    @classmethod
    def _spoken(cls, versions: tuple[str, ...]) -> tuple[str, ...]:
        known = set(DIALECTS)
        for each in versions:
            try:
                spoken = Release.parse(each) in known
            except RsmpError as error:
                raise ValueError(error.reason) from None
            if not spoken:
                raise ValueError(f"core {each} is not spoken, only {', '.join(map(str, sorted(known)))}")
        if not versions:
            raise ValueError("at least one version is needed")
        return versions

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("no such time zone") from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        ids = [self.controller, *self.signal_groups, *self.detector_logics]
        found = [f"component id {each} is given twice" for each in dict.fromkeys(ids) if ids.count(each) > 1]
        found += [
            f"security_codes.{level}: a reference is needed" for level in (1, 2) if level not in self.security_codes
        ]
        found += self._problems_of_intergreens()
        for number, plan in self.plans.items():
            for place, stage in enumerate(plan.stages, start=1):
                found += self._problems_of_stage(f"plans.{number}.stages.{place}", stage.groups)
        for number, route in self.emergency_routes.items():
            found += self._problems_of_stage(f"emergency_routes.{number}", route)
        for name, detector in self.detector_logics.items():
            if detector.group not in self.signal_groups:
                found.append(f"detector_logics.{name}.group: {detector.group} is no signal group")
        chosen = {"default_plan": self.default_plan}
        chosen |= {f"traffic_situations.{key}": plan for key, plan in self.traffic_situations.items()}
        for table, switches in self.day_tables.items():
            chosen |= {f"day_tables.{table} at {each.at}": each.plan for each in switches if each.plan}
        found += [f"{key}: plan {plan} is not in plans" for key, plan in chosen.items() if plan not in self.plans]
        found += [
            f"week_table.{day}: day table {table} is not in day_tables"
            for day, table in self.week_table.items()
            if table not in self.day_tables
        ]
        return found + self._problems_of_inputs()

    def _problems_of_intergreens(self) -> list[str]:
        found = []
        for ends, row in self.intergreen_s.items():
            for begins, seconds in row.items():
                key = f"intergreen_s.{ends}.{begins}"
                if unknown := next((each for each in (ends, begins) if each not in self.signal_groups), None):
                    found.append(f"{key}: {unknown} is no signal group")
                elif ends == begins:
                    found.append(f"{key}: a group does not conflict with itself")
                elif ends not in self.intergreen_s.get(begins, {}):
                    found.append(f"{key}: the other direction, intergreen_s.{begins}.{ends}, is missing")
                elif seconds < self.signal_groups[ends].yellow_s:
                    found.append(f"{key}: shorter than the yellow of {ends}")
        return found

    def _problems_of_stage(self, key: str, groups: tuple[str, ...]) -> list[str]:
        found = [f"{key}: {each} is no signal group" for each in groups if each not in self.signal_groups]
        pairs = ((ends, begins) for ends in groups for begins in self.intergreen_s.get(ends, {}) if begins in groups)
        return found + [f"{key}: {ends} and {begins} conflict" for ends, begins in pairs if ends < begins]

    def _problems_of_inputs(self) -> list[str]:
        found = []
        kinds = {self.controller: "controller"}
        kinds |= dict.fromkeys(self.signal_groups, "signal group") | dict.fromkeys(
            self.detector_logics, "detector logic"
        )
        entries = tlc(max(each.release for each in self.exchange_lists)).alarms
        for number, each in self.inputs.programming.items():
            key = f"inputs.programming.{number}"
            if number > self.inputs.count:
                found.append(f"{key}: there are only {self.inputs.count} inputs")
            if not each.alarm:
                continue
            entry = entries.get(each.alarm)
            if entry is None:
                found.append(f"{key}.alarm: {each.alarm} is not in the exchange list")
            elif kinds.get(each.component) != entry.component:
                found.append(f"{key}.component: {each.alarm} belongs to a {entry.component}")
            elif problem := entry.problem(dict(each.values)):
                found.append(f"{key}.values: {problem}")
        return found


def read_sheet(path: Path) -> SiteSheet:
    """Read a sheet.

    Raises:
        SheetInvalid: what is wrong, one line a key.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > SHEET_BYTES_MAX:
        raise SheetInvalid(f"{path} is larger than {SHEET_BYTES_MAX} bytes")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SheetInvalid(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict):
        raise SheetInvalid(f"{path} holds no keys")
    try:
        return SiteSheet.model_validate(found)
    except ValidationError as error:
        lines = (_line(each["loc"], each["msg"]) for each in error.errors(include_url=False, include_input=False))
        raise SheetInvalid("\n".join(lines)) from None


def _line(place: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(each) for each in place if each != "[key]")
    text = message.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text
