"""Metrics of the service, in one place."""

from maasloop.telemetry import metrics

COMMANDS = metrics.counter(
    "maasloop_actuation_commands_total",
    "Changes of commands by what they set (LightLevel, SignalSequence, …), new state and reason",
    ["setpoint", "state", "reason"],
)
COMMIT_SECONDS = metrics.histogram("maasloop_actuation_commit_seconds", "Time of a group commit")
REACTION_SECONDS = metrics.histogram(
    "maasloop_actuation_reaction_seconds", "From the storing of a message by the broker to the sending of its commands"
)
DECISIONS = metrics.counter(
    "maasloop_actuation_decisions_total", "Seconds decided in districts with a field clock", ["district", "late"]
)
DECIDE_SECONDS = metrics.histogram("maasloop_actuation_decide_seconds", "Time to decide on one second of a district")
READINGS = metrics.counter(
    "maasloop_actuation_readings_total", "Readings of messages by what they were to decisions", ["use"]
)
RESTORES = metrics.counter(
    "maasloop_actuation_latest_restores_total", "Attempts to bring latest values back after a start", ["outcome"]
)
