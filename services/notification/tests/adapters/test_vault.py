"""Secrets of webhooks can't be read from the database, nor moved inside it."""

import base64
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from maasloop.notification.adapters.vault import KEY_BYTES, PREFIX, KeyUnusable, SecretUnreadable, Vault
from maasloop.notification.domain.subscription import Email, Subscription, Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = Subscription("noord", "one", frozenset(), "nl", Webhook("https://example.org/hook", SECRET))
OLD, NEW = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)


def _stored(subscription: Subscription) -> str:
    assert isinstance(subscription.channel, Webhook)
    return subscription.channel.secret


def test_what_is_stored_tells_nothing_and_opens_again() -> None:
    """The same secret is stored differently each time, and comes back as it was."""
    vault = Vault([NEW])
    first, second = vault.sealed(HOOK), vault.sealed(HOOK)
    assert _stored(first) != _stored(second)
    assert "MfKQ9r8" not in _stored(first)
    assert vault.opened(first) == vault.opened(second) == HOOK
    assert vault.sealed(first) == first


def test_a_key_is_changed_without_a_pause() -> None:
    """What an older key sealed opens beside a newer one; without any of the keys nothing opens."""
    sealed = Vault([OLD]).sealed(HOOK)
    assert Vault([NEW, OLD]).opened(sealed) == HOOK
    with pytest.raises(SecretUnreadable):
        Vault([NEW]).opened(sealed)


def test_a_secret_is_bound_to_its_subscription_and_its_bytes() -> None:
    """Neither a secret in another row nor one that was changed opens."""
    vault = Vault([NEW])
    sealed = vault.sealed(HOOK)
    data = base64.b64decode(_stored(sealed).removeprefix(PREFIX))
    changed = PREFIX + base64.b64encode(data[:-1] + bytes([data[-1] ^ 1])).decode()
    for wrong in (replace(sealed, id="two"), replace(sealed, channel=Webhook("https://example.org/hook", changed))):
        with pytest.raises(SecretUnreadable):
            vault.opened(wrong)


def test_what_needs_no_key_stays_as_it_is() -> None:
    """An address of mail is no secret, and a secret from before there was a key is read as it lies there."""
    mail = replace(HOOK, channel=Email("a@example.org"))
    assert Vault([NEW]).sealed(mail) == mail
    assert Vault([NEW]).opened(HOOK) == HOOK
    assert Vault().sealed(HOOK) == HOOK


@pytest.mark.parametrize("text", ["", "password", "aHVudGVyMg==", "ü", "\n".join(5 * ["A" * 44])])
def test_a_weak_or_broken_key_file_is_refused(text: str, tmp_path: Path) -> None:
    """A start without a real key fails with the file named, and shows nothing of what is in it."""
    path = tmp_path / "webhook.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match=r"webhook\.key must hold") as caught:
        Vault.load(path)
    assert not text or text not in str(caught.value)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A key for everybody is none; a missing one is named."""
    path = tmp_path / "webhook.key"
    with pytest.raises(KeyUnusable, match="can't be read"):
        Vault.load(path)
    path.write_text(base64.b64encode(NEW).decode())
    path.chmod(0o644)
    with pytest.raises(KeyUnusable, match="0600"):
        Vault.load(path)
    path.chmod(0o600)
    assert Vault.load(path).opened(Vault([NEW]).sealed(HOOK)) == HOOK
