"""A device takes a command that the platform signed for it and for this time, once; everything else stays outside."""

import base64
import json
from collections.abc import Callable

import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet

from maasloop.identity.command_keys import SigningKey, VerificationKeys
from maasloop.identity.commands import (
    AHEAD_MAX_US,
    ENVELOPE_BYTES_MAX,
    CommandGuard,
    CommandRefused,
    CommandSealer,
    Refusal,
    counters_of,
)

NOW_US = 1_764_000_000_000_000
SECOND_US = 1_000_000
LAMP, OTHER = "lamp-0001", "lamp-0002"
KEY = SigningKey.make()
TRUSTED = VerificationKeys([KEY.private.public_key()])


def command(device: str = LAMP, *, begins_s: int = 0, lasts_s: int = 60, **more: object) -> dict[str, object]:
    """Return what is asked for, as actuation writes it."""
    begins_us = NOW_US + begins_s * SECOND_US
    return {
        "commandId": "c1",
        "district": "noord",
        "device": device,
        "setpoint": {"lightLevel": {"levelPercent": 80.0, "rampS": 0.0}},
        "notBeforeTimeUs": str(begins_us),
        "expireTimeUs": str(begins_us + lasts_s * SECOND_US),
        **more,
    }


def guard() -> CommandGuard:
    """Return the guard of two lamps."""
    return CommandGuard("noord", [LAMP, OTHER], TRUSTED)


@pytest.fixture
def sealer() -> CommandSealer:
    """Return the platform's hand."""
    return CommandSealer(KEY, counters_of(1))


def refusal(of: CommandGuard, envelope: bytes, *, device: str = LAMP, now_us: int = NOW_US) -> Refusal:
    """Return why the guard refuses."""
    with pytest.raises(CommandRefused) as caught:
        of.open(envelope, device=device, now_us=now_us)
    return caught.value.reason


def test_a_signed_command_comes_through_unchanged(sealer: CommandSealer) -> None:
    """What arrives is what was asked for, with a counter and a nonce beside it."""
    opened = guard().open(sealer.seal(command()), device=LAMP, now_us=NOW_US)
    found = json.loads(opened.payload)
    assert {name: found[name] for name in command()} == command()
    assert int(found["counter"]) > 0
    assert not opened.repeated


def test_any_jws_library_can_check_it(sealer: CommandSealer) -> None:
    """A library that knows nothing of this one verifies the envelope with the key set as it is handed out."""
    keys = KeySet.import_key_set(json.loads(TRUSTED.json()))
    with pytest.warns(SecurityWarning, match="deprecated"):
        found = jws.deserialize_compact(sealer.seal(command()), keys, algorithms=["EdDSA"])
    assert found.payload == guard().open(found_envelope(found), device=LAMP, now_us=NOW_US).payload
    assert found.protected["kid"] == KEY.id == next(iter(keys.keys)).thumbprint()


def found_envelope(found: jws.CompactSignature) -> bytes:
    """Return the envelope that a library has taken apart."""
    parts = found.segments
    return b".".join([parts["header"], parts["payload"], parts["signature"]])


def test_the_same_envelope_again_is_a_repetition(sealer: CommandSealer) -> None:
    """An envelope that comes again every two seconds is no attack; it is answered and not carried out."""
    one, sealed = guard(), sealer.seal(command())
    assert [one.open(sealed, device=LAMP, now_us=NOW_US).repeated for _ in range(3)] == [False, True, True]


def test_an_older_command_after_a_newer_one_is_refused(sealer: CommandSealer) -> None:
    """Neither a recorded command nor one that was overtaken comes in behind the newest."""
    one, first, second = guard(), sealer.seal(command()), sealer.seal(command())
    one.open(first, device=LAMP, now_us=NOW_US)
    one.open(second, device=LAMP, now_us=NOW_US)
    assert refusal(one, first) is Refusal.REORDERED


def test_devices_have_counters_of_their_own(sealer: CommandSealer) -> None:
    """What one lamp has heard says nothing about another."""
    one, first, second = guard(), sealer.seal(command(OTHER)), sealer.seal(command())
    one.open(second, device=LAMP, now_us=NOW_US)
    assert not one.open(first, device=OTHER, now_us=NOW_US).repeated


def test_a_counter_is_used_once() -> None:
    """A second command under a counter that was taken is refused, although its signature is good."""
    one = guard()
    one.open(CommandSealer(KEY, iter([7])).seal(command()), device=LAMP, now_us=NOW_US)
    assert refusal(one, CommandSealer(KEY, iter([7])).seal(command())) is Refusal.REPLAYED


@pytest.mark.parametrize(
    ("asked", "now_us", "reason"),
    [
        (command(), NOW_US + 60 * SECOND_US, Refusal.EXPIRED),
        (command(lasts_s=0), NOW_US - 1, Refusal.LIFETIME_INVALID),
        (command(lasts_s=86_400), NOW_US, Refusal.LIFETIME_INVALID),
        (command(), NOW_US - AHEAD_MAX_US - 1, Refusal.LIFETIME_INVALID),
        (command(district="zuid"), NOW_US, Refusal.TARGET_FOREIGN),
        (command(OTHER), NOW_US, Refusal.TARGET_FOREIGN),
        (command(device=""), NOW_US, Refusal.MALFORMED),
        (command(expireTimeUs="-1"), NOW_US, Refusal.MALFORMED),
        (command(expireTimeUs=5), NOW_US, Refusal.MALFORMED),
    ],
)
def test_a_good_signature_is_not_enough(
    sealer: CommandSealer, asked: dict[str, object], now_us: int, reason: Refusal
) -> None:
    """A signed command for another device, another district or another time is refused, and nothing is remembered."""
    one = guard()
    assert refusal(one, sealer.seal(asked), now_us=now_us) is reason
    assert one.counters == {}


def test_a_wrong_clock_is_allowed_for_as_far_as_it_is_wrong(sealer: CommandSealer) -> None:
    """A device whose clock may be two seconds ahead takes a command until two seconds after its expiry, not later."""
    sealed, expiry_us = sealer.seal(command()), NOW_US + 60 * SECOND_US
    skewed = CommandGuard("noord", [LAMP], TRUSTED, skew_us=2 * SECOND_US)
    assert not skewed.open(sealed, device=LAMP, now_us=expiry_us + SECOND_US).repeated
    assert refusal(skewed, sealed, now_us=expiry_us + 2 * SECOND_US) is Refusal.EXPIRED


def test_a_key_that_is_not_trusted_opens_nothing(sealer: CommandSealer) -> None:
    """Neither a stranger's key nor a stranger's key under a trusted name signs for the platform."""
    stranger = SigningKey.make()
    assert refusal(guard(), CommandSealer(stranger, counters_of(9)).seal(command())) is Refusal.KEY_UNKNOWN
    named = SigningKey(KEY.id, stranger.private)
    assert refusal(guard(), CommandSealer(named, counters_of(9)).seal(command())) is Refusal.SIGNATURE_INVALID


def _unsigned(sealed: bytes) -> bytes:
    return sealed[: sealed.rindex(b".") + 1]


def _other_header(**header: object) -> Callable[[bytes], bytes]:
    text = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    return lambda sealed: text + sealed[sealed.index(b".") :]


@pytest.mark.parametrize(
    "change",
    [
        _unsigned,
        _other_header(alg="none", kid=KEY.id, typ="maasloop-command"),
        _other_header(alg="HS256", kid=KEY.id, typ="maasloop-command"),
        _other_header(alg="EdDSA", kid=KEY.id, typ="JWT"),
        _other_header(alg="EdDSA", kid=KEY.id, typ="maasloop-command", crit=["b64"]),
        _other_header(alg="EdDSA", kid=[KEY.id], typ="maasloop-command"),
        lambda sealed: sealed.split(b".")[1],
        lambda _: json.dumps(command()).encode(),
        lambda sealed: sealed + b"=",
        lambda sealed: sealed + b"\n",
        lambda sealed: sealed + b".",
        lambda _: b"",
        lambda _: b"." * ENVELOPE_BYTES_MAX,
        lambda _: b"a" * (ENVELOPE_BYTES_MAX + 1),
        lambda _: base64.urlsafe_b64encode(b"[" * 60_000) + b"..",
    ],
)
def test_what_is_no_envelope_is_refused(sealer: CommandSealer, change: Callable[[bytes], bytes]) -> None:
    """Another algorithm, none, another type, and plain commands are refused before anything is believed."""
    assert refusal(guard(), change(sealer.seal(command()))) in {
        Refusal.MALFORMED,
        Refusal.KEY_UNKNOWN,
        Refusal.SIGNATURE_INVALID,
    }


def test_one_character_changed_anywhere_is_seen(sealer: CommandSealer) -> None:
    """Every single character of the envelope counts, the spare bits of its last one as well."""
    sealed = sealer.seal(command())
    for place, character in enumerate(sealed):
        other = ord("A") if character != ord("A") else ord("B")
        assert refusal(guard(), sealed[:place] + bytes([other]) + sealed[place + 1 :]) is not Refusal.EXPIRED


def test_counters_rise_over_restarts() -> None:
    """The counters of a later generation begin above all that the one before it signed."""
    before = counters_of(1_764_000_000)
    taken = [next(before) for _ in range(1_000)]
    assert taken == sorted(set(taken))
    assert next(counters_of(1_764_000_001)) > taken[-1]


def test_a_device_that_keeps_its_counters_refuses_what_was_recorded_before_its_restart(sealer: CommandSealer) -> None:
    """The newest counter survives a restart where the device writes it down."""
    one, first, second = guard(), sealer.seal(command()), sealer.seal(command())
    one.open(second, device=LAMP, now_us=NOW_US)
    again = CommandGuard("noord", [LAMP], TRUSTED, counters=one.counters)
    assert refusal(again, first) is Refusal.REORDERED
    assert refusal(again, second) is Refusal.REPLAYED
