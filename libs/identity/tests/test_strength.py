"""Weak secrets are refused with a sentence that does not show them; random ones pass."""

import secrets

import pytest

from maasloop.identity.strength import require_strong


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "fewer than 16"),
        ("hunter2", "fewer than 16"),
        ("abababababababababab", "fewer than 8 different"),
        ("password-password-1234", "everybody knows"),
        ("MaasloopMaasloop2026", "everybody knows"),
        ("changeme_postgres_0123", "everybody knows"),
    ],
)
def test_a_weak_secret_is_refused(secret: str, problem: str) -> None:
    """Short, repeating and known ones each have their sentence, which names the setting and not the secret."""
    with pytest.raises(ValueError, match=f"the secret in postgres_dsn is too weak: .*{problem}") as refused:
        require_strong("postgres_dsn", secret)
    assert not secret or secret not in str(refused.value)


def test_a_random_secret_passes() -> None:
    """Whatever a generator of secrets makes is strong enough."""
    for _ in range(1_000):
        require_strong("postgres_dsn", secrets.token_urlsafe(32))
        require_strong("postgres_dsn", secrets.token_hex(16))
