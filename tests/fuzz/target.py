"""What a fuzzer is told of what it fuzzes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder under test."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    """Good payloads to begin with."""
    words: tuple[bytes, ...] = ()
    """What its language is made of."""
    document: Any = None
    """A good payload as a document, and how documents are written: then it is changed as a tree too."""
    write: Callable[[Any], bytes] = lambda document: json.dumps(document).encode()
    make: Callable[[Random], bytes] | None = None
    """Makes a payload that is well formed, whatever it says."""
