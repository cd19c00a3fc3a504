"""Which texts in a directory are secrets, by their form, and where else they stand."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)-----END", re.DOTALL)
SEED = re.compile(r"\bS[OAUXCN][A-Z2-7]{50,}")
TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")
PASSFILE = re.compile(r"^[^:\n]+:[^:\n]*:[^:\n]*:[^:\n]*:(\S+)$", re.MULTILINE)
"""The last of five fields in PostgreSQL's password file."""
PASSLINE = re.compile(r"^[\w.*-]+:(?:\d+|\*):[\w*-]+:\w+:\S{16,}$", re.MULTILINE)
"""The same where it is not told that this is such a file."""
DSN = re.compile(r"\bpostgres(?:ql)?://[^:/\s\"']+:([^@\s\"']+)@")
"""A connection string with a password."""
PUBLIC = re.compile(r"[AUOXCN][A-Z2-7]{55}")
"""Public keys of NATS."""
WORD = re.compile(r"\S{16,200}")
LINE_MIN = 32
"""Of a key's base64 the lines that are long enough to stand nowhere by chance."""
READ_MAX_BYTES = 64 * 1024 * 1024


def secrets_below(directory: Path) -> dict[str, str]:
    """Return every secret text by the file it is in and its number there."""
    found: dict[str, str] = {}
    for path in sorted(file for file in directory.rglob("*") if file.is_file()):
        texts = _secrets(path.read_bytes().decode("utf-8", errors="replace"))
        found |= {f"{path.relative_to(directory)}#{number}": text for number, text in enumerate(texts)}
    return found


def _secrets(text: str) -> list[str]:
    if text.lstrip().startswith("{"):
        return list(_members(json.loads(text)))
    made = [line for body in PEM.findall(text) for line in body.split() if len(line) >= LINE_MIN]
    made += SEED.findall(text) + PASSFILE.findall(text)
    made += [token.rpartition(".")[2] for token in TOKEN.findall(text) if _bears(token)]
    if not made and "-----" not in text and not TOKEN.search(text):
        made += [word for word in WORD.findall(text) if not PUBLIC.fullmatch(word)]
    return made


def _members(document: Any) -> Iterable[str]:  # noqa: ANN401 - a tree of anything
    """Yield private members of JSON Web Keys."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name in {"d", "k"} and isinstance(value, str):
                yield value
            else:
                yield from _members(value)
    elif isinstance(document, list):
        for value in document:
            yield from _members(value)


def _bears(token: str) -> bool:
    """Tell whether a NATS token opens a door by itself: then its signature is a secret."""
    body = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        return False
    nats = claims.get("nats", {})
    # The sentinel, which waits for the callout's word and may do nothing, stands in the server's configuration.
    return bool(nats.get("bearer_token")) and claims.get("name") != "sentinel"


def shapes(places: Mapping[str, bytes]) -> list[str]:
    """Return where something stands that is a secret by its form alone, whoever made it."""
    found = []
    for place, text in places.items():
        read = text.decode("utf-8", errors="replace")
        kinds = {
            "private key": PEM.search(read),
            "seed of NATS": SEED.search(read),
            "password of PostgreSQL": DSN.search(read) or PASSLINE.search(read),
            "token that opens": any(_bears(token) for token in TOKEN.findall(read)),
        }
        found += [f"a {kind} in {place}" for kind, seen in kinds.items() if seen]
    return found


def hits(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Return which secret stands where, by their names only."""
    return [
        f"{name} in {place}"
        for place, text in places.items()
        for name, secret in secrets.items()
        if secret.encode() in text
    ]


def files(paths: Iterable[Path]) -> dict[str, bytes]:
    """Return what is in files, as far as they are read."""
    read = {}
    for path in paths:
        if path.is_file():
            with path.open("rb") as opened:
                read[path.name] = opened.read(READ_MAX_BYTES)
    return read
