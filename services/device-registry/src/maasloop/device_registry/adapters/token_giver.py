"""Tokens for programs, signed by the registry's key."""

from maasloop.device_registry.adapters.postgres_api_keys import identity_grant
from maasloop.device_registry.domain.api_key import ApiKey
from maasloop.identity.token_keys import TokenSigner


class SignedTokens:
    """Gives what every service takes."""

    def __init__(self, signer: TokenSigner) -> None:
        """Sign with this key."""
        self._signer = signer

    def token(self, key: ApiKey, *, most_s: int) -> tuple[str, int]:
        """Return a token and the seconds that it lives."""
        grants = tuple(identity_grant(grant) for grant in key.grants)
        return self._signer.token(key.program, key.id, grants, most_s=most_s)
