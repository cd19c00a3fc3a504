"""What the signal kernel's reasons are called in the contract."""

from maasloop.core.reasons import Reason

from .signals.kernel import RefusalReason

_REASONS = {
    "JUNCTION_UNKNOWN": Reason.DATA_SHEET_INVALID,
    "GROUP_UNKNOWN": Reason.SIGNAL_GROUP_UNKNOWN,
    "GROUP_MISSING": Reason.SIGNAL_GROUP_UNKNOWN,
    "ASPECT_FORBIDDEN": Reason.ASPECT_FORBIDDEN,
    "SEQUENCE_MALFORMED": Reason.REQUEST_INVALID,
    "NOT_BEFORE_PAST": Reason.EXPIRY_INVALID,
    "NOT_BEFORE_FAR": Reason.EXPIRY_INVALID,
    "EXPIRY_INVALID": Reason.EXPIRY_INVALID,
    "LEASE_HELD": Reason.OUTRANKED,
    "RATE_LIMITED": Reason.RATE_LIMITED,
    "SEQUENCE_RUNNING": Reason.RATE_LIMITED,
    "START_STATE_DIFFERS": Reason.START_STATE_DIFFERS,
    "CONFLICT": Reason.SIGNAL_CONFLICT,
    "BOTH_PROTECTED": Reason.SIGNAL_CONFLICT,
    "INTERGREEN": Reason.INTERGREEN_TOO_SHORT,
    "YELLOW_LENGTH": Reason.YELLOW_TOO_SHORT,
    "MINIMUM_GREEN": Reason.GREEN_TOO_SHORT,
    "TRANSITION": Reason.INTERGREEN_TOO_SHORT,
    "MAXIMUM_GREEN": Reason.GREEN_TOO_LONG,
    "MAXIMUM_WAIT": Reason.WAIT_TOO_LONG,
}


def reason_of(reason: RefusalReason) -> Reason:
    """Return the reason of the contract; a test keeps the table complete."""
    return _REASONS.get(reason.name, Reason.SIGNAL_CONFLICT)
