"""Webhooks against a real HTTP server: signature, meaning of answers, and hosts that are not called."""

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from maasloop.core.clock import FakeClock, SystemClock
from maasloop.notification.adapters import webhook
from maasloop.notification.adapters.outbound import Outbound
from maasloop.notification.adapters.webhook import WebhookChannel
from maasloop.notification.domain.alert import Occasion
from maasloop.notification.domain.delivery import Claim, Deferred, Delivery, DeliveryState, Refused, Taken
from maasloop.notification.domain.subscription import Webhook
from maasloop.runtime.http import HttpDoor

if TYPE_CHECKING:
    from services.notification.tests.conftest import WebhookReceiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = Outbound([ipaddress.ip_network("127.0.0.0/8")], ports=[80])
NOW = SystemClock().now()


def _claim(url: str, content: str = '{"type":"alert.raised","grüße":1}', secret: str = SECRET) -> Claim:
    delivery = Delivery(
        district="noord",
        id=str(uuid4()),
        alert="b",
        subscription="c",
        channel="webhook",
        occasion=Occasion.RAISED,
        language="nl",
        subject="s",
        content=content,
        state=DeliveryState.PENDING,
        create_time=NOW,
        next_attempt_time=NOW + timedelta(minutes=1),
        attempt_count=1,
    )
    return Claim(delivery, Webhook(url, secret))


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_success_is_taken(receiver: "WebhookReceiver", status: int) -> None:
    """Every 2xx means that the receiver has it; the receiver verified the signature and got the id of the delivery."""
    receiver.secret, receiver.script = SECRET, [status]
    channel, claim = WebhookChannel(SystemClock(), LOOPBACK), _claim(receiver.url)
    assert isinstance(await channel.send(claim), Taken)
    assert receiver.received == [(claim.delivery.id, {"type": "alert.raised", "grüße": 1})]
    await channel.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_refusal_is_final(receiver: "WebhookReceiver", status: int) -> None:
    """A 4xx that waiting does not mend is DELIVERY_REFUSED, with what was said."""
    receiver.secret, receiver.script = SECRET, [status]
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    answer = await channel.send(_claim(receiver.url))
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.detail) == ("DELIVERY_REFUSED", f"HTTP {status}")
    await channel.close()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_later(receiver: "WebhookReceiver", status: int) -> None:
    """Overload and faults of the receiver are deferred, as long as it asks for."""
    receiver.secret, receiver.script, receiver.headers = SECRET, [status], {"retry-after": "7"}
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    assert await channel.send(_claim(receiver.url)) == Deferred(f"HTTP {status}", 7.0)
    await channel.close()


async def test_a_redirect_is_not_followed(receiver: "WebhookReceiver") -> None:
    """A receiver cannot send our signed message on to another host."""

    async def redirect(_request: Request) -> Response:
        return RedirectResponse(receiver.url, 307)

    receiver.secret = SECRET
    door = HttpDoor(Starlette(routes=[Route("/hook", redirect, methods=["POST"])]), "127.0.0.1:0")
    await door.start()
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    answer = await channel.send(_claim(f"http://{door.address}/hook"))
    assert isinstance(answer, Deferred)
    assert answer.detail.startswith("HTTP 307")
    assert receiver.received == []
    await channel.close()
    await door.stop(1)


async def test_nobody_there_is_tried_later(receiver: "WebhookReceiver") -> None:
    """A refused connection and a name that does not resolve are deferred."""
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    for url in ("http://127.0.0.1:1/hook", "http://nobody.invalid/hook"):
        assert isinstance(await channel.send(_claim(url)), Deferred)
    await channel.close()


async def test_a_silent_receiver_is_left(
    receiver: "WebhookReceiver", monkeypatch: pytest.MonkeyPatch, hold: None
) -> None:
    """An attempt ends after its time-out and is deferred."""
    monkeypatch.setattr(webhook, "TOTAL_TIMEOUT_S", 0.2)
    receiver.secret = SECRET
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    answer = await channel.send(_claim(receiver.url))
    assert isinstance(answer, Deferred)
    assert "no answer" in answer.detail
    await channel.close()


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "[::]", "224.0.0.1", "2852039166"],  # noqa: S104 - addresses that must be refused
)
async def test_own_cloud_and_groups_are_never_called(host: str) -> None:
    """Link-local, unspecified and multicast addresses are refused in every spelling, before a connection is made."""
    channel = WebhookChannel(SystemClock(), LOOPBACK)
    answer = await channel.send(_claim(f"http://{host}/latest/meta-data"))
    assert isinstance(answer, Refused)
    assert answer.reason == "ADDRESS_INVALID"
    await channel.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "[::1]", "[fd00::1]", "0x7f.1"])
async def test_private_networks_are_called_by_name_only(host: str) -> None:
    """No spelling of a network that the operator did not name is called."""
    channel = WebhookChannel(SystemClock(), Outbound(ports=range(1, 65_536)))
    answer = await channel.send(_claim(f"http://{host}:1/hook"))
    assert isinstance(answer, Refused)
    assert answer.reason == "ADDRESS_INVALID"
    await channel.close()


async def test_every_attempt_is_stamped_anew(receiver: "WebhookReceiver") -> None:
    """The same delivery has the same id and bytes at every attempt; a signature that is too old is no longer valid."""
    receiver.secret = SECRET
    claim, channel = _claim(receiver.url), WebhookChannel(SystemClock(), LOOPBACK)
    await channel.send(claim)
    await channel.send(claim)
    assert receiver.received[0] == receiver.received[1]
    stale = WebhookChannel(FakeClock(), LOOPBACK)
    answer = await stale.send(claim)
    assert isinstance(answer, Refused)
    assert (receiver.forged, len(receiver.received)) == (1, 2)
    await stale.close()
    await channel.close()
