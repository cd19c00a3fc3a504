"""Who signed in by ``maasloop login``, and the token that the calls of this machine show for them.

A token ends soon. Where the provider gave a refresh token (RFC 6749 6), another one is fetched before a call; of several
commands at once one does so, because a provider may take a refresh token once. A program has no provider: the registry gives
it another token for its API key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from maasloop.core.errors import Unauthenticated
from maasloop.core.reasons import Reason

from .login_file import AGAIN, Login, alone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maasloop.cli.addresses import Addresses
    from maasloop.core.clock import Clock

NEXT_STEPS: Mapping[str, str] = {
    Reason.CREDENTIALS_MISSING: "sign in: maasloop login",
    Reason.CREDENTIALS_EXPIRED: AGAIN,
    Reason.CREDENTIALS_REVOKED: "somebody took your access away (maasloop access revoke); only they can give it back",
    Reason.PERMISSION_MISSING: "the city's table of grants says what your groups may",
}
"""What a person does about a refusal, by its reason."""


async def access_token(addresses: Addresses, clock: Clock) -> str:
    """Return the token of who signed in, another one where it ends; refuse with ``Unauthenticated``."""
    with alone(addresses.root):
        login = Login.read(addresses.root)
        if login is None:
            raise Unauthenticated(Reason.CREDENTIALS_MISSING, "nobody is signed in here: maasloop login")
        if not login.lasts(clock):
            login = await (exchanged(addresses, login) if login.api_key_file else _refreshed(login, clock))
            login.write(addresses.root)
        return login.access_token


async def exchanged(addresses: Addresses, login: Login) -> Login:
    """Return it with the token that the registry gives for the API key, or refuse with ``Unauthenticated``."""
    from maasloop.api.device.v1.access_service_pb2 import ExchangeApiKeyRequest
    from maasloop.api.device.v1.access_service_pb2_grpc import AccessServiceStub
    from maasloop.rpc.client import Bearer, call, connected

    authority = addresses.authority(login)
    peer = Bearer(authority=authority.read_bytes() if authority else None)
    request = ExchangeApiKeyRequest(secret=token_of(Path(login.api_key_file)))
    async with connected(addresses.public("device-registry", login), peer=peer) as channel:
        answer = await call(AccessServiceStub(channel).ExchangeApiKey, request)
    expire_time = answer.expire_time.ToDatetime(UTC).isoformat(timespec="seconds")
    return replace(login, access_token=answer.access_token, expire_time=expire_time)


async def _refreshed(login: Login, clock: Clock) -> Login:
    from maasloop.identity.provider import Endpoints, fetching, refreshed

    if not login.refresh_token:
        raise Unauthenticated(Reason.CREDENTIALS_EXPIRED, f"you were signed in until {login.expire_time}; {AGAIN}")
    authority = Path(login.provider_ca_file) if login.provider_ca_file else None
    endpoints = await Endpoints.of(login.issuer, fetching(authority))
    return login.given(await refreshed(endpoints, login.client_id, login.refresh_token, authority), clock)


def token_of(path: Path) -> str:
    """Return the token or API key that a file holds."""
    from .files import text_of

    return text_of(path, "ascii").strip()
