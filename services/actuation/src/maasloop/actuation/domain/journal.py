"""The journal: every decision and every refusal, with its reason, for people who ask why."""

from dataclasses import dataclass
from enum import StrEnum


class Entry(StrEnum):
    """What a journal row tells."""

    COMMAND_ACCEPTED = "command_accepted"
    COMMAND_REFUSED = "command_refused"
    POLICY_ON = "policy_on"
    POLICY_OFF = "policy_off"
    POLICY_ERROR = "policy_error"
    SHADOW_ON = "shadow_on"
    SHADOW_OFF = "shadow_off"
    SHADOW_COMMAND = "shadow_command"
    SHADOW_REFUSED = "shadow_refused"
    OVERRIDE_SET = "override_set"
    OVERRIDE_ENDED = "override_ended"
    DISTRICT_RELEASED = "district_released"
    DISTRICT_RESUMED = "district_resumed"
    DATA_SHEET_REFUSED = "data_sheet_refused"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One row."""

    wall_us: int
    district: str
    entry: Entry
    target: str
    """Device, group or policy that it is about."""
    issuer: str
    reason: str = ""
    detail: str = ""
