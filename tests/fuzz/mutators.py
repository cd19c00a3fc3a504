"""Mutations of payloads: bytes, words of the language, pieces repeated until a payload is large, and brackets in brackets."""

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz.target import Target

SIZE_MAX = 64 * 1024
SMALL_MAX = 2_048
LARGE_EACH = 200
"""One of so many payloads is blown up."""
KEPT_MAX = 512
KEYS: tuple[Any, ...] = (
    "device", "property", "time", "value", "state", "position", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "bn", "bt",
    "bu", "bv", "bs", "bver", "x_", "", "value_type", "data", "fPort", "fCnt",
)  # fmt: skip
"""Names that a field may be given."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10, 11, 2**28, 2**31, 2**53, 2**63, -(2**63), 2**64 - 1, 0.0, -0.5, 1e-300, 1e300, -1e300,
    1_764_000_000, 1_764_000_000_000_000, "", "a", "lamp", "lamp/power", "/", "a/b/c", "W", "kW", "Cel", "K", "nonsense",
    "2025-11-24T16:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "P1", "1e400", "nan", "AAAA", "=",
    "x" * 300, "\0", "\u00e9" * 40, [], {}, [[]], {"a": 1}, [1, 2],
)  # fmt: skip
"""What a value may become."""


def payloads(target: Target, seed: int) -> Iterator[bytes]:
    """Yield payloads for ever: what came out of earlier ones goes in again."""
    random = Random(f"{target.name} {seed}")
    pool = list(target.seeds)
    while True:
        if target.document is not None and random.getrandbits(1):
            yield changed_tree(target, random)[:SIZE_MAX]
        if target.make is not None and random.getrandbits(1):
            yield target.make(random)
        payload = bytearray(random.choice(pool))
        for _ in range(1 + min(random.getrandbits(3), random.getrandbits(3))):
            _mutate(payload, target, pool, random)
        if random.randrange(LARGE_EACH) == 0:
            payload = blown_up(bytes(payload), random)
        result = bytes(payload[:SIZE_MAX])
        if len(result) <= SMALL_MAX and random.getrandbits(4) == 0:
            if len(pool) < KEPT_MAX:
                pool.append(result)
            else:
                pool[random.randrange(len(target.seeds), KEPT_MAX)] = result
        yield result


def changed_tree(target: Target, random: Random) -> bytes:
    """Return the target's document with some values replaced, doubled, dropped or renamed."""
    document = deepcopy(target.document)
    for _ in range(1 + random.getrandbits(2)):
        _change(document, random)
    return target.write(document)


def _change(document: Any, random: Random) -> None:  # noqa: ANN401 - a tree of anything
    """Change one place below a document."""
    node = document
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = random.choice(keys)
        child = node[key]
        if isinstance(child, dict | list) and child and random.getrandbits(2):
            node = child
            continue
        match random.randrange(5):
            case 0:
                del node[key]
            case 1 if isinstance(node, list):
                node.extend([deepcopy(child)] * random.getrandbits(random.randrange(1, 8)))
            case 2 if isinstance(node, dict):
                node[random.choice([*keys, *KEYS])] = node.pop(key)
            case _:
                node[key] = deepcopy(random.choice(VALUES))
        return


def _mutate(payload: bytearray, target: Target, pool: list[bytes], random: Random) -> None:
    at = random.randrange(len(payload) + 1)
    end = min(len(payload), at + 1 + random.getrandbits(random.randrange(1, 7)))
    match random.randrange(8):
        case 0 if payload:
            payload[min(at, len(payload) - 1)] ^= 1 << random.randrange(8)
        case 1 if payload:
            payload[min(at, len(payload) - 1)] = random.getrandbits(8)
        case 2:
            payload[at:at] = random.randbytes(1 + random.getrandbits(2))
        case 3:
            del payload[at:end]
        case 4:
            payload[at:at] = payload[at:end]
        case 5 | 6 if target.words:
            word = random.choice(target.words)
            payload[at : at if random.getrandbits(1) else min(len(payload), at + len(word))] = word
        case 7:
            other = random.choice(pool)
            start = random.randrange(len(other) + 1)
            payload[at:end] = other[start : start + 1 + random.getrandbits(5)]
        case _:
            payload += random.randbytes(1)


def blown_up(payload: bytes, random: Random) -> bytearray:
    """Return a payload of up to 64 KiB: a piece of it repeated in place."""
    start = random.randrange(len(payload) + 1)
    piece = payload[start : start + 1 + random.getrandbits(random.randrange(1, 8))] or b"\0"
    times = min(SIZE_MAX // len(piece), 1 << random.randrange(17))
    return bytearray(payload[:start] + piece * times + payload[start + len(piece) :])
