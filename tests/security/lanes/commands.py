"""Commands that nobody may give: forged, replayed, expired, overtaken, meant for others, mutated; none moves a lamp.

The devices are those of the twin: lamps behind a street cabinet, each command through the desk on which it arrives. What
the lane calls accepted is what a device was handed, whatever a guard says.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from random import Random

from tests.security.outcome import Outcome, Plan

from maasloop.api.command.v1.command_pb2 import DeviceCommand
from maasloop.core.clock import SystemClock
from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.identity.commands import CommandGuard, CommandSealer
from maasloop.twin.devices.cabinet import Cabinet, MountedLamp
from maasloop.twin.devices.desk import CommandDesk
from maasloop.twin.devices.lamp import Lamp
from maasloop.twin.devices.lighting import RESIDENTIAL, LampPlace

LANE = "commands"
NO_NONCE_CHECK = "no-nonce-check"
CASES = 120_000
RECORDED = 8
"""Genuine commands of each lamp before the attack, which the attacker recorded."""
DISTRICT, CABINET = "noord", "cabinet-01"
LAMPS = tuple(f"lamp-{number:04}" for number in range(1, 25))
NOW_S = 1_764_000_000
US = 1_000_000
GENUINE_PERCENT, FORGED_PERCENT = 80.0, 1.0


@dataclass
class Street:
    """One cabinet and its lamps, what its lamps were handed, and what an attacker recorded of the line."""

    key: SigningKey
    taken: list[DeviceCommand] = field(default_factory=list)
    recorded: dict[str, list[bytes]] = field(default_factory=dict)
    counter: int = 1_000_000

    def __post_init__(self) -> None:
        """Mount the lamps."""
        lamps = [
            MountedLamp(LampPlace(name, 0.0, 0.0, "street", CABINET, RESIDENTIAL), Lamp(RESIDENTIAL)) for name in LAMPS
        ]
        self.cabinet = Cabinet(CABINET, lamps, begin_s=NOW_S)
        trusted = VerificationKeys([self.key.private.public_key()])
        self.desk = CommandDesk(DISTRICT, trusted, street_us=lambda: NOW_S * US, arrived=self.taken.append)
        self.desk.add(self.cabinet)

    def hear(self, device: str, envelope: bytes) -> bool:
        """Let something arrive, and tell whether a lamp was handed it."""
        before = len(self.taken)
        self.desk.hear(CABINET, device, envelope)
        return len(self.taken) > before

    def genuine(self, device: str) -> bool:
        """Give a command as the platform does, and tell whether the lamp was handed it."""
        self.counter += 2
        envelope = seal(self.key, self.counter, command(device, percent=GENUINE_PERCENT))
        self.recorded.setdefault(device, []).append(envelope)
        return self.hear(device, envelope)


def command(
    device: str, *, percent: float = FORGED_PERCENT, district: str = DISTRICT, begins_s: int = 0, lasts_s: int = 900
) -> dict[str, object]:
    """Return what is asked for."""
    begins_us = (NOW_S + begins_s) * US
    return {
        "commandId": f"c-{device}-{percent:g}",
        "district": district,
        "device": device,
        "setpoint": {"lightLevel": {"levelPercent": percent, "rampS": 0.0}},
        "notBeforeTimeUs": str(begins_us),
        "expireTimeUs": str(begins_us + lasts_s * US),
    }


def seal(key: SigningKey, counter: int, asked: Mapping[str, object]) -> bytes:
    """Sign a command under a counter."""
    return CommandSealer(key, iter([counter])).seal(asked)


class Attacker:
    """Sends what the line never should bring, of every kind in turn; it has recorded the line and owns keys of its own."""

    def __init__(self, street: Street, random: Random) -> None:
        """Attack a street."""
        self._street = street
        self._random = random
        self._own = SigningKey.make()
        self._counter = street.counter * 2

    def attacks(self) -> Iterator[tuple[str, str, bytes]]:
        """Return kind, device whose topic it is sent on, and envelope, for ever."""
        kinds: tuple[Callable[[str], bytes], ...] = (
            self.forged,
            self.forged_under_a_trusted_name,
            self.signed_with_the_public_key,
            self.unsigned,
            self.replayed,
            self.overtaken,
            self.expired,
            self.without_end,
            self.for_another_lamp,
            self.for_another_district,
            *(partial(self.mutated, change) for change in (self._flipped, self._cut, self._spliced, self._inserted)),
        )
        for kind, device in zip(cycle(kinds), cycle(LAMPS[1:]), strict=False):
            name = kind.args[0].__name__ if isinstance(kind, partial) else kind.__name__
            yield name.strip("_"), device, kind(device)

    def _above(self) -> int:
        self._counter += 1
        return self._counter

    def forged(self, device: str) -> bytes:
        """Sign with a key of one's own."""
        return seal(self._own, self._above(), command(device))

    def forged_under_a_trusted_name(self, device: str) -> bytes:
        """Sign with a key of one's own and name the platform's."""
        return seal(SigningKey(self._street.key.id, self._own.private), self._above(), command(device))

    def signed_with_the_public_key(self, device: str) -> bytes:
        """Use what everybody knows as a shared secret."""
        signed = self._headed({"alg": "HS256"}, device)
        secret = self._street.key.private.public_key().public_bytes_raw()
        return signed + b"." + encode(hmac.digest(secret, signed, hashlib.sha256))

    def unsigned(self, device: str) -> bytes:
        """Claim that no signature is needed, or leave the envelope away."""
        if self._random.random() < 0.5:
            return json.dumps(command(device)).encode()
        return self._headed({"alg": "none"}, device) + b"."

    def replayed(self, device: str) -> bytes:
        """Send what the lamp took once and has followed by something newer."""
        return self._random.choice(self._street.recorded[device][:-1])

    def overtaken(self, device: str) -> bytes:
        """Send what the platform signed and the line lost, after something newer."""
        last_turn = self._street.counter - 2 * len(LAMPS)
        return seal(self._street.key, last_turn - 2 * self._random.randrange(1_000) - 1, command(device))

    def expired(self, device: str) -> bytes:
        """Send what the platform signed for another hour."""
        ago_s = self._random.randrange(900, 86_400)
        return seal(self._street.key, self._above(), command(device, begins_s=-ago_s))

    def without_end(self, device: str) -> bytes:
        """Send what would hold for longer than any command may."""
        lasts_s = self._random.randrange(1_000, 10_000_000)
        return seal(self._street.key, self._above(), command(device, lasts_s=lasts_s))

    def for_another_lamp(self, device: str) -> bytes:
        """Bring a lamp what was signed for another one."""
        other = LAMPS[(LAMPS.index(device) + self._random.randrange(1, len(LAMPS))) % len(LAMPS)]
        return seal(self._street.key, self._above(), command(other))

    def for_another_district(self, device: str) -> bytes:
        """Bring a lamp what was signed for its namesake."""
        return seal(self._street.key, self._above(), command(device, district="zuid"))

    def mutated(self, change: Callable[[bytes, str], bytes], device: str) -> bytes:
        """Change a genuine envelope that the lamp has not heard."""
        genuine = seal(self._street.key, self._above(), command(device))
        changed = change(genuine, device)
        return changed if changed != genuine else genuine + b"A"

    def _flipped(self, envelope: bytes, _: str) -> bytes:
        place, bit = self._random.randrange(len(envelope)), 1 << self._random.randrange(8)
        return envelope[:place] + bytes([envelope[place] ^ bit]) + envelope[place + 1 :]

    def _cut(self, envelope: bytes, _: str) -> bytes:
        return envelope[: self._random.randrange(len(envelope))]

    def _inserted(self, envelope: bytes, _: str) -> bytes:
        place = self._random.randrange(len(envelope) + 1)
        return envelope[:place] + self._random.randbytes(self._random.randrange(1, 9)) + envelope[place:]

    def _spliced(self, envelope: bytes, device: str) -> bytes:
        """Put the payload of one genuine envelope between head and signature of another."""
        parts, others = envelope.split(b"."), self._random.choice(self._street.recorded[device]).split(b".")
        return b".".join([parts[0], parts[1], others[2]])

    def _headed(self, header: Mapping[str, str], device: str) -> bytes:
        whole = {**header, "kid": self._street.key.id, "typ": "maasloop-command"}
        payload = {**command(device), "counter": str(self._above()), "nonce": "AAAA"}
        return encode(json.dumps(whole).encode()) + b"." + encode(json.dumps(payload).encode())


def encode(data: bytes) -> bytes:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


async def run(plan: Plan) -> Outcome:
    """Attack, and count what lamps were handed. The first lamp is left alone and hears the platform all the while."""
    street, clock = Street(SigningKey.make()), SystemClock()
    if plan.sabotage == NO_NONCE_CHECK:
        for guard in street.desk.guards:
            _without_order(guard)
    genuine = [street.genuine(device) for _ in range(RECORDED) for device in LAMPS]
    attacker, tried, accepted = Attacker(street, Random(plan.seed)), 0, Counter[str]()
    cases, began_s = plan.cases(CASES), clock.monotonic_s()
    for kind, device, envelope in islice(attacker.attacks(), cases):
        tried += 1
        accepted[kind] += street.hear(device, envelope)
    took_s = clock.monotonic_s() - began_s
    genuine.append(street.genuine(LAMPS[0]))
    levels = [mounted.lamp.target_percent for mounted in street.cabinet.lamps.values()]
    found = accepted.total()
    return Outcome.of(
        LANE,
        {
            "every genuine command was handed over": all(genuine),
            "no other one was": found == 0,
            "every lamp goes where the platform sent it": set(levels) == {GENUINE_PERCENT},
            "each refusal is counted": street.desk.refused.total() + found == tried,
        },
        figures={"forged_tried": tried, "forged_accepted": found, "us_per_refusal": round(took_s / tried * 1e6)},
        notes=(
            *(f"accepted: {kind} {count}" for kind, count in accepted.items() if count),
            ", ".join(f"{reason} {count}" for reason, count in sorted(street.desk.refused.items())),
        ),
    )


def _without_order(guard: CommandGuard) -> None:
    """Build in the fault: neither counter nor nonce is looked at."""
    object.__setattr__(guard, "_repeated", lambda _: False)
