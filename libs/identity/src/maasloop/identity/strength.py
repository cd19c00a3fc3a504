"""Secrets that anybody could guess are refused before they protect anything.

A secret of ours is random, so it is long and has many characters; what is short, repeats itself or is one of the words
that systems are shipped with was typed by somebody. A refusal never shows the secret.
"""

import re

CHARACTERS_MIN = 16
DISTINCT_MIN = 8
KNOWN = frozenset(
    {
        "admin", "changeit", "changeme", "changethis", "default", "example", "guest", "letmein", "maasloop", "password",
        "postgres", "qwertyuiop", "replaceme", "root", "secret", "test", "timescale", "timescaledb", "welcome",
    }
)  # fmt: skip
"""Words that a secret may not be made of, digits and marks apart."""


def require_strong(name: str, secret: str) -> None:
    """Refuse, with ``ValueError``, a secret that is short, repeats itself or is made of known words."""
    if len(secret) < CHARACTERS_MIN:
        problem = f"it has fewer than {CHARACTERS_MIN} characters"
    elif len(set(secret)) < DISTINCT_MIN:
        problem = f"it has fewer than {DISTINCT_MIN} different characters"
    elif _known(secret):
        problem = "it is made of words that everybody knows"
    else:
        return
    message = (
        f"the secret in {name} is too weak: {problem}; take a random one, for example of `openssl rand -base64 32`"
    )
    raise ValueError(message)


def _known(secret: str) -> bool:
    words = [word for word in re.split(r"[^a-z]+", secret.lower()) if word]
    return bool(words) and all(any(_made_of(word, known) for known in KNOWN) for word in words)


def _made_of(word: str, known: str) -> bool:
    return word.replace(known, "") == ""
