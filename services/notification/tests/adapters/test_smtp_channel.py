"""Mail against a real SMTP server: what is sent, and what its answers mean."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from maasloop.core.clock import SystemClock
from maasloop.core.errors import InvalidArgument
from maasloop.notification.adapters.smtp import SmtpChannel
from maasloop.notification.domain.alert import Occasion
from maasloop.notification.domain.delivery import Claim, Deferred, Delivery, DeliveryState, Refused, Taken
from maasloop.notification.domain.subscription import Email, Subscription, require_subscription
from maasloop.stack.ports import free_ports

if TYPE_CHECKING:
    from services.notification.tests.conftest import MailReceiver

LOOPBACK = "127.0.0.1"
SENDER = "city@maasloop.example"
NOW = SystemClock().now()


def _claim(subject: str = "Melding: Veel fijnstof • één", address: str = "team@example.org") -> Claim:
    delivery = Delivery(
        district="noord",
        id="7f3a",
        alert="b",
        subscription="c",
        channel="email",
        occasion=Occasion.RAISED,
        language="nl",
        subject=subject,
        content="80,5 µg om 7 uur.\n",
        state=DeliveryState.PENDING,
        create_time=NOW,
        next_attempt_time=NOW + timedelta(minutes=1),
        attempt_count=1,
    )
    return Claim(delivery, Email(address))


async def test_a_mail_says_it_in_its_language(mail: "MailReceiver") -> None:
    """Subject, text and headers arrive as they were written, and the Message-ID is that of the delivery."""
    channel = SmtpChannel(LOOPBACK, mail.port, SENDER)
    assert isinstance(await channel.send(_claim()), Taken)
    assert isinstance(await channel.send(_claim()), Taken)

    first, second = mail.taken
    assert first["subject"] == "Melding: Veel fijnstof • één"
    assert (first["from"], first["to"], first["content-language"]) == (SENDER, "team@example.org", "nl")
    assert first.get_content().strip() == "80,5 µg om 7 uur."
    assert first["message-id"] == second["message-id"] == "<7f3a@maasloop.example>"


@pytest.mark.parametrize("answer", ["550 no such mailbox", "552 too large", "554 no"])
async def test_a_permanent_answer_is_final(mail: "MailReceiver", answer: str) -> None:
    """A 5xx is DELIVERY_REFUSED with what the server said."""
    mail.script = [answer]
    refused = await SmtpChannel(LOOPBACK, mail.port, SENDER).send(_claim())
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail) == ("DELIVERY_REFUSED", f"SMTP {answer}")


async def test_a_passing_answer_is_tried_later(mail: "MailReceiver") -> None:
    """A 4xx, and a server that is not there, are deferred."""
    mail.script = ["451 later"]
    assert await SmtpChannel(LOOPBACK, mail.port, SENDER).send(_claim()) == Deferred("SMTP 451 later")
    assert isinstance(await SmtpChannel(LOOPBACK, 1, SENDER).send(_claim()), Deferred)


@pytest.mark.parametrize("address", ["a@b.example\r\nBcc: all@b.example", "a@b.example\0"])
async def test_no_header_is_smuggled_in(mail: "MailReceiver", address: str) -> None:
    """An address with control characters is refused on write, and would not be sent either."""
    with pytest.raises(InvalidArgument):
        require_subscription(Subscription("noord", "s", frozenset(), "nl", Email(address)))
    if "\n" in address:
        assert isinstance(await SmtpChannel(LOOPBACK, mail.port, SENDER).send(_claim(address=address)), Refused)
    assert mail.offered == []


async def test_a_mail_server_process_takes_it(tmp_path: Path) -> None:
    """A mail server that runs as a process of its own writes the message into its mailbox."""
    port = free_ports(1)[0]
    maildir = tmp_path / "mail"
    arguments = ["-m", "aiosmtpd", "-n", "-l", f"{LOOPBACK}:{port}", "-c", "aiosmtpd.handlers.Mailbox", str(maildir)]
    server = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.DEVNULL)
    channel = SmtpChannel(LOOPBACK, port, SENDER)
    try:
        async with asyncio.timeout(50):
            while not isinstance(answer := await channel.send(_claim()), Taken):
                assert isinstance(answer, Deferred)
                await asyncio.sleep(0.05)
    finally:
        server.terminate()
        await server.wait()
    taken = list((maildir / "new").iterdir())
    assert len(taken) == 1
    assert "<7f3a@maasloop.example>" in taken[0].read_text()
