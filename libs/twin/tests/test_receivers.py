"""The receivers of the demo: they take what is real, and count at the receiving end."""

import datetime as dt
import smtplib
from email.message import EmailMessage

import httpx2
import pytest
import standardwebhooks

from maasloop.twin.demo.alerting import running_receivers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type": "alert.raised"}'


def signed(secret: str) -> dict[str, str]:
    """Return the headers of a webhook signed with a secret."""
    now = dt.datetime.now(dt.UTC)
    signature = standardwebhooks.Webhook(secret).sign("msg-1", now, BODY)
    stamp = str(int(now.timestamp()))
    return {"webhook-id": "msg-1", "webhook-timestamp": stamp, "webhook-signature": signature}


def test_a_signed_webhook_is_taken() -> None:
    """The signature was made with the secret of the subscription."""
    with running_receivers() as receivers:
        receivers.district, receivers.secret = "d", SECRET
        answer = httpx2.post(receivers.webhook_url, content=BODY, headers=signed(SECRET))

    assert answer.status_code == 204
    assert (receivers.webhooks, receivers.webhooks_forged) == (1, 0)


def test_a_forged_webhook_is_refused() -> None:
    """Another secret, or none: not an alert of ours."""
    with running_receivers() as receivers:
        receivers.district, receivers.secret = "d", SECRET
        other = "whsec_" + "A" * 32
        answers = [
            httpx2.post(receivers.webhook_url, content=BODY, headers=signed(other)),
            httpx2.post(receivers.webhook_url, content=BODY),
        ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert (receivers.webhooks, receivers.webhooks_forged) == (0, 2)


def test_a_webhook_of_an_earlier_demo_is_gone() -> None:
    """It is neither taken nor held against the sender."""
    with running_receivers() as receivers:
        receivers.district, receivers.secret = "d", SECRET
        answer = httpx2.post(f"{receivers.base_url}/other", content=BODY, headers=signed(SECRET))

    assert answer.status_code == 410
    assert (receivers.webhooks, receivers.webhooks_forged) == (0, 0)


@pytest.mark.parametrize(("district", "counted"), [("d", 1), ("other", 0)])
def test_a_mail_to_the_district_counts(district: str, counted: int) -> None:
    """A real SMTP dialogue ends with a subject that people can read; mails of an earlier demo are taken uncounted."""
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "maasloop@example.org", "Veel fijnstof — nú"
    mail["To"] = f"wijkteam-{district}@example.org"
    mail.set_content("Blijf binnen.")
    with running_receivers() as receivers:
        receivers.district = "d"
        with smtplib.SMTP("127.0.0.1", receivers.smtp_port, timeout=10) as server:
            server.send_message(mail)

    assert receivers.mails == counted
    assert receivers.subjects == ["Veel fijnstof — nú"] * counted
