"""The summary of a demo: figures for programs, sentences for people, and what speaks against a good end."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from maasloop.twin.demo.account import Account, balance_exact
from maasloop.twin.demo.alerting import Receivers
from maasloop.twin.demo.withdrawal import Withdrawal
from maasloop.twin.play.run import Play
from maasloop.twin.play.tally import Tally

MEDIAN = 0.5
NEARLY_ALL = 0.99


@dataclass(frozen=True)
class Summary:
    """Every figure counted where it happens; names and units are the contract of ``summary.json``."""

    readings_acknowledged: int
    rows_stored: int
    accepted: int
    stored: int
    duplicates: int
    conflicts: int
    quarantined: int
    refused_consent: int
    shed: int
    dead_lettered: int
    in_stream: int
    commands_by_state: Mapping[str, int]
    commands_verified_lamps: int
    commands_verified_signals: int
    """Of those by stages."""
    commands_verified_plans: int
    """Of those by bands: plans with bands, and settings of inputs."""
    junctions_by_stages: int
    junctions_by_bands: int
    alerts_delivered: Mapping[str, int]
    consent_refusals: int
    faults_injected: Mapping[str, int]
    faults_accounted: Mapping[str, int]
    kernel_violations: int
    lamp_floor_violations: int
    late_decisions: int
    loop_latency_p50_ms: float | None
    loop_latency_p99_ms: float | None
    mean_delay_s: float
    mean_delay_fixed_s: float | None
    energy_ratio: float
    duration_s: int
    wall_s: float
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return what the file says."""
        return asdict(self)


@dataclass(frozen=True)
class Street:
    """What the street itself recorded."""

    violations: int
    unjudged_s: int
    """Junction seconds whose signal states were not recorded."""
    mean_delay_s: float
    mean_delay_fixed_s: float | None


def summarise(
    play: Play, account: Account, receivers: Receivers, street: Street, *, wall_s: float, versions: Mapping[str, str]
) -> Summary:
    """Bring all figures together."""
    balance, tally = account.balance, play.tally
    lamps = [mounted.lamp for mounted in play.street.lamps]
    class_wh = sum(lamp.class_wh for lamp in lamps)
    return Summary(
        readings_acknowledged=account.readings_acknowledged,
        rows_stored=account.rows_stored,
        accepted=balance.accepted_count,
        stored=balance.stored_count,
        duplicates=balance.duplicate_count,
        conflicts=balance.conflict_count,
        quarantined=balance.quarantined_count,
        refused_consent=balance.refused_consent_count,
        shed=balance.shed_count,
        dead_lettered=balance.dead_lettered_count,
        in_stream=balance.in_stream_count,
        commands_by_state=dict(sorted(account.commands_by_state.items())),
        commands_verified_lamps=account.verified("light_level"),
        commands_verified_signals=account.verified("signal_sequence"),
        commands_verified_plans=account.verified("signal_plan", "input_settings"),
        junctions_by_stages=len(play.street.controllers),
        junctions_by_bands=len(play.street.sites.by_id),
        alerts_delivered={"webhook": receivers.webhooks, "email": receivers.mails},
        consent_refusals=tally.consent_refusals,
        faults_injected={str(kind): count for kind, count in account.faults_injected.items()},
        faults_accounted={str(kind): count for kind, count in account.faults_accounted.items()},
        kernel_violations=street.violations,
        lamp_floor_violations=sum(lamp.floor_violations for lamp in lamps),
        late_decisions=tally.late_decisions,
        loop_latency_p50_ms=_rounded(tally.latency_ms(MEDIAN)),
        loop_latency_p99_ms=_rounded(tally.latency_ms(NEARLY_ALL)),
        mean_delay_s=round(street.mean_delay_s, 2),
        mean_delay_fixed_s=_rounded(street.mean_delay_fixed_s),
        energy_ratio=round(sum(lamp.used_wh for lamp in lamps) / class_wh, 4) if class_wh else 0.0,
        duration_s=play.duration_s,
        wall_s=round(wall_s, 1),
        versions=versions,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def problems(summary: Summary, account: Account, *, unjudged_s: int = 0) -> Iterator[str]:
    """Say what makes this run a failure; nothing where all is well."""
    if unjudged_s:
        yield f"the signals of {unjudged_s} junction seconds were not recorded, so that nobody could judge them"
    if summary.rows_stored != summary.readings_acknowledged:
        yield f"{summary.readings_acknowledged} readings were acknowledged as good, but there are {summary.rows_stored} rows"
    if not balance_exact(account.balance):
        yield f"the custody balance is not exact ({account.balance.lost_count} lost)"
    if summary.kernel_violations:
        yield f"the signals broke a rule {summary.kernel_violations} times"
    if summary.lamp_floor_violations:
        yield f"lamps were darker than their floor for {summary.lamp_floor_violations} lamp seconds"
    if not summary.commands_verified_lamps:
        yield "no command to a lamp was verified"
    if summary.junctions_by_stages and not summary.commands_verified_signals:
        yield "no command to a traffic signal was verified"
    if summary.junctions_by_bands and not summary.commands_verified_plans:
        yield "no command to a traffic signal over RSMP was verified"
    if account.commands_open:
        yield f"{account.commands_open} commands did not end with a reason"


def warnings(summary: Summary, withdrawal: Withdrawal, tally: Tally) -> Iterator[str]:
    """Say what is not as it should be and fails nothing."""
    for kind, count in summary.faults_injected.items():
        found = summary.faults_accounted.get(kind, 0)
        if found != count:
            yield f"{count} faults of kind {kind} were injected, {found} accounted for"
    if summary.late_decisions:
        yield f"{summary.late_decisions} of {tally.seconds} decisions came late"
    if tally.late_readings:
        yield f"{tally.late_readings} of {tally.seconds} decisions were made before all readings of their second had come"
    for reason, count in tally.commands_refused.items():
        yield f"devices refused {count} commands: {reason}"
    if withdrawal.visible_before < 1:
        yield "before the consent was withdrawn, its readings could not be seen"
    if withdrawal.refused_after_s is None:
        yield "after the consent was withdrawn, no reading was refused in time"
    if withdrawal.hidden_after_s is None:
        yield "after the consent was withdrawn, readings stayed visible"
    for channel, count in summary.alerts_delivered.items():
        if not count:
            yield f"no alert arrived by {channel}"


def sentences(summary: Summary, withdrawal: Withdrawal) -> Iterator[str]:
    """Tell what happened, for people."""
    yield (
        f"{summary.duration_s} seconds of the street in {summary.wall_s:.0f} seconds: "
        f"{summary.readings_acknowledged:,} readings acknowledged as good, {summary.rows_stored:,} rows stored."
    )
    yield (
        f"Custody: {summary.accepted:,} accepted = {summary.stored:,} stored + {summary.duplicates} duplicates + "
        f"{summary.conflicts} conflicts + {summary.quarantined} quarantined + {summary.refused_consent} without consent "
        f"+ {summary.shed} shed + {summary.dead_lettered} dead letters + {summary.in_stream} on their way."
    )
    states = ", ".join(f"{count} {state.lower()}" for state, count in summary.commands_by_state.items())
    yield (
        f"Commands: {states}. An independent observation proved {summary.commands_verified_lamps} at lamps, "
        f"{summary.commands_verified_signals} at the {summary.junctions_by_stages} junctions led by stages, and "
        f"{summary.commands_verified_plans} at the {summary.junctions_by_bands} led over RSMP by bands."
    )
    if summary.loop_latency_p50_ms is not None:
        yield (
            f"From a reading to the command at its lamp: {summary.loop_latency_p50_ms:.0f} ms (median), "
            f"{summary.loop_latency_p99_ms:.0f} ms (99 %); {summary.late_decisions} late decisions."
        )
    fixed = "?" if summary.mean_delay_fixed_s is None else f"{summary.mean_delay_fixed_s:.1f} s"
    yield (
        f"Traffic: {summary.mean_delay_s:.1f} s mean delay, {fixed} under the fixed plan; "
        f"{summary.kernel_violations} violations. "
        f"Light: {summary.energy_ratio:.0%} of the energy of class level; "
        f"{summary.lamp_floor_violations} seconds below a floor."
    )
    accounted = ", ".join(
        f"{kind} {summary.faults_accounted.get(kind, 0)}/{count}" for kind, count in summary.faults_injected.items()
    )
    yield f"Faults accounted for, of those injected: {accounted}."
    channels = ", ".join(f"{count} by {channel}" for channel, count in summary.alerts_delivered.items())
    refused, hidden = withdrawal.refused_after_s, withdrawal.hidden_after_s
    yield (
        f"Messages delivered: {channels}. Consent: withdrawn half-way, refused after {_seconds(refused)}, hidden after "
        f"{_seconds(hidden)}; {summary.consent_refusals} readings refused."
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
