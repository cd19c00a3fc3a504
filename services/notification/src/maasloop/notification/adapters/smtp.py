"""Mail: one plain text message over SMTP, with a Message-ID that is the same at every attempt."""

import asyncio
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from maasloop.core.reasons import Reason
from maasloop.notification.domain.delivery import Attempt, Claim, Deferred, Delivery, Refused, Taken
from maasloop.notification.domain.subscription import Email

STEP_TIMEOUT_S = 15.0
TOTAL_TIMEOUT_S = 30.0
_PERMANENT = 500


class SmtpChannel:
    """Delivers by mail, a connection for each message."""

    def __init__(self, host: str, port: int, sender: str) -> None:
        self._host = host
        self._port = port
        self._sender = sender

    async def send(self, claim: Claim) -> Attempt:
        """Try once."""
        target = claim.target
        if not isinstance(target, Email):
            return Refused(Reason.ADDRESS_INVALID, "the subscription has no e-mail address")
        try:
            message = mail_of(claim.delivery, target, self._sender)
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                _, answer = await aiosmtplib.send(message, hostname=self._host, port=self._port, timeout=STEP_TIMEOUT_S)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _meaning(error.recipients[0])
        except aiosmtplib.SMTPResponseException as error:
            return _meaning(error)
        except (aiosmtplib.SMTPException, OSError) as error:
            return Deferred(f"{type(error).__name__}: {error}")
        except (MessageError, ValueError) as error:
            return Refused(Reason.ADDRESS_INVALID, f"{type(error).__name__}: {error}")
        return Taken(answer)


def mail_of(delivery: Delivery, target: Email, sender: str) -> EmailMessage:
    """Return the message, the same one at every attempt."""
    message = EmailMessage(policy=SMTP)
    domain = sender.rpartition("@")[2]
    message["From"] = sender
    message["To"] = target.address
    message["Subject"] = delivery.subject
    message["Date"] = format_datetime(delivery.create_time)
    message["Message-ID"] = f"<{delivery.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(delivery.content)
    message["Content-Language"] = delivery.language
    return message


def _meaning(error: aiosmtplib.SMTPResponseException) -> Attempt:
    detail = f"SMTP {error.code} {error.message}"
    return Refused(Reason.DELIVERY_REFUSED, detail) if error.code >= _PERMANENT else Deferred(detail)
