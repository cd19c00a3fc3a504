"""How much weight has who commands."""

from enum import IntEnum


class Authority(IntEnum):
    """Who may overrule whom: a higher one wins, the newer among equals."""

    SCHEDULE = 1
    ADAPTIVE = 2
    PRIORITY = 3
    SAFETY_FALLBACK = 4
    OPERATOR = 5
    EMERGENCY = 6
