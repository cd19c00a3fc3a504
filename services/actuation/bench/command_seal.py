"""What the seal costs: microseconds to sign a command, and to check it as a device does.

.venv/bin/python services/actuation/bench/command_seal.py
"""

import statistics
import sys
import time

from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.identity.commands import CommandGuard, CommandSealer, counters_of

COMMANDS = 2_000
ROUNDS = 5
NOW_US = 1_764_000_000_000_000
LIGHT = {"lightLevel": {"levelPercent": 80.0, "rampS": 0.0}}
SEQUENCE = {
    "signalSequence": {
        "steps": [
            {"offsetS": offset, "aspects": {f"group-{number:02}": "SIGNAL_ASPECT_RED" for number in range(16)}}
            for offset in (0, 4, 6)
        ],
        "startState": {f"group-{number:02}": "SIGNAL_ASPECT_GREEN" for number in range(16)},
    }
}


def main() -> None:
    """Measure both and print medians."""
    for name, setpoint in (("light level", LIGHT), ("signal sequence of 16 groups", SEQUENCE)):
        rounds = [_round(setpoint) for _ in range(ROUNDS)]
        sealing, opening, size = (statistics.median(each) for each in zip(*rounds, strict=True))
        sys.stdout.write(f"{name}: seal {sealing:.0f} us, open {opening:.0f} us, {size:.0f} bytes\n")


def _round(setpoint: object) -> tuple[float, float, float]:
    key = SigningKey.make()
    sealer = CommandSealer(key, counters_of(1))
    guard = CommandGuard("noord", ["lamp-0042"], VerificationKeys([key.private.public_key()]))
    command = {
        "commandId": "0123456789abcdef0123456789abcdef",
        "district": "noord",
        "device": "lamp-0042",
        "setpoint": setpoint,
        "notBeforeTimeUs": str(NOW_US),
        "expireTimeUs": str(NOW_US + 180_000_000),
    }
    began = time.perf_counter()
    envelopes = [sealer.seal(command) for _ in range(COMMANDS)]
    sealed = time.perf_counter()
    for envelope in envelopes:
        guard.open(envelope, device="lamp-0042", now_us=NOW_US)
    opened = time.perf_counter()
    scale = 1e6 / COMMANDS
    return (sealed - began) * scale, (opened - sealed) * scale, float(len(envelopes[0]))


if __name__ == "__main__":
    main()
