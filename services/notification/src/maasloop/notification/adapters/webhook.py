"""Webhooks: one signed POST (Standard Webhooks), to the host that was named and to no other.

The name is resolved here and the connection goes to that address, so that what was checked is what is called; of several
each one must be allowed. Redirects are not followed, and no proxy of the environment is asked.
"""

import asyncio
import socket
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook as Signer

from maasloop.core.clock import Clock
from maasloop.core.reasons import Reason
from maasloop.notification.adapters.outbound import AddressForbidden, Outbound
from maasloop.notification.domain.delivery import Attempt, Claim, Deferred, Refused, Taken
from maasloop.notification.domain.subscription import Webhook

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
TOTAL_TIMEOUT_S = 20.0
ANSWER_BYTES_MAX = 1_024
CONNECTIONS_MAX = 64
USER_AGENT = "maasloop-notification"

_SUCCESS = range(200, 300)
_FOREVER = range(400, 500)
_PASSING = frozenset({408, 425, 429})
PORTS = {"http": 80, "https": 443}


class WebhookChannel:
    """Delivers to webhooks. Use as an async context manager."""

    def __init__(self, clock: Clock, outbound: Outbound) -> None:
        self._clock = clock
        self._outbound = outbound
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def send(self, claim: Claim) -> Attempt:
        """Try once."""
        target = claim.target
        if not isinstance(target, Webhook):
            return Refused(Reason.ADDRESS_INVALID, "the subscription has no webhook")
        if not target.secret:
            return Deferred("its secret can't be opened, so nothing can be signed")
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return await self._post(claim, target)
        except AddressForbidden as error:
            return Refused(Reason.ADDRESS_INVALID, str(error))
        except TimeoutError:
            return Deferred(f"no answer within {TOTAL_TIMEOUT_S:g} s")
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            return Deferred(f"{type(error).__name__}: {error}")
        except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
            return Refused(Reason.ADDRESS_INVALID, f"{type(error).__name__}: {error}")

    async def _post(self, claim: Claim, target: Webhook) -> Attempt:
        url = httpx2.URL(target.url)
        address = await self._resolved(target.url)
        content = claim.delivery.content.encode()
        headers = self._signed(claim, target) | {"host": url.netloc.decode("ascii")}
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=content,
            headers=headers,
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        answer = await self._client.send(request, stream=True)
        try:
            return _meaning(answer, await _beginning(answer))
        finally:
            await answer.aclose()

    def _signed(self, claim: Claim, target: Webhook) -> dict[str, str]:
        now = self._clock.now()
        identity = claim.delivery.id
        signature = Signer(target.secret).sign(msg_id=identity, timestamp=now, data=claim.delivery.content)
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }

    async def _resolved(self, url: str) -> str:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            self._outbound.require(address, port)
        return addresses[0]


async def _beginning(answer: httpx2.Response) -> str:
    """Return the first bytes of an answer as text; the rest is not read."""
    received = b""
    async for chunk in answer.aiter_raw():
        received += chunk
        if len(received) >= ANSWER_BYTES_MAX:
            break
    text = received[:ANSWER_BYTES_MAX].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text)


def _meaning(answer: httpx2.Response, text: str) -> Attempt:
    status = answer.status_code
    detail = f"HTTP {status} {text}".strip()
    if status in _SUCCESS:
        return Taken(detail)
    if status in _FOREVER and status not in _PASSING:
        return Refused(Reason.DELIVERY_REFUSED, detail)
    return Deferred(detail, _retry_after_s(answer))


def _retry_after_s(answer: httpx2.Response) -> float:
    given = answer.headers.get("retry-after", "")
    if given.isdigit():
        return float(given[:9])
    try:
        until = parsedate_to_datetime(given)
        told = parsedate_to_datetime(answer.headers.get("date", ""))
        return max(0.0, (until - told).total_seconds())
    except (TypeError, ValueError):
        return 0.0
