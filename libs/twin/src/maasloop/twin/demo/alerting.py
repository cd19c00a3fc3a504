"""Alert rules of the demo, who is told, and two real receivers: a webhook that checks signatures, and a mail server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import standardwebhooks
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from google.protobuf.duration_pb2 import Duration

from maasloop.api.notification.v1.alert_pb2 import (
    AlertRule,
    CommandCondition,
    Email,
    ObservationCondition,
    SilenceCondition,
    Subscription,
    Webhook,
)
from maasloop.api.notification.v1.notification_service_pb2 import CreateAlertRuleRequest, CreateSubscriptionRequest
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.core.ids import DistrictName
from maasloop.rpc.client import call
from maasloop.twin.play.cast import Cast

LOOPBACK = "127.0.0.1"
BODY_BYTES_MAX = 1024 * 1024
SILENT_AFTER_S = 120

log = structlog.get_logger(__name__)


class Receivers:
    """What arrived, counted at the receiving end: verified webhooks and mails taken."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.webhooks = 0
        self.webhooks_forged = 0
        self.mails = 0
        self.subjects: list[str] = []
        self.secret = ""
        self._lock = threading.Lock()
        self.base_url = ""
        self.smtp_port = 0
        self.district = ""

    @property
    def webhook_url(self) -> str:
        """Where webhooks of this district are heard."""
        return f"{self.base_url}/{self.district}"

    @property
    def mail_address(self) -> str:
        """To whom mails of this district go."""
        return f"wijkteam-{self.district}@example.org"

    def hear_webhook(self, headers: dict[str, str], body: bytes) -> bool:
        """Take a signed webhook, refuse another."""
        with self._lock:
            try:
                standardwebhooks.Webhook(self.secret).verify(body, headers)
            except (standardwebhooks.WebhookVerificationError, ValueError, RuntimeError):
                self.webhooks_forged += 1
                return False
            self.webhooks += 1
            self.subjects.append(str(json.loads(body).get("type", ""))[:80])
            return True

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail; only those to this district's address count."""
        content = envelope.content or b""
        mail = message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=policy.default)
        with self._lock:
            if self.mail_address in envelope.rcpt_tos:
                self.mails += 1
                self.subjects.append(str(mail["subject"])[:80])
        return "250 taken"


@contextmanager
def running_receivers() -> Iterator[Receivers]:
    """Run both receivers on free ports of loopback."""
    receivers = Receivers()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("content-length", "0")), BODY_BYTES_MAX)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(size)
            if self.path != f"/{receivers.district}":
                # A delivery of an earlier demo that is still tried: nobody waits for it here any more.
                self.send_response(HTTPStatus.GONE)
            elif receivers.hear_webhook(headers, body):
                self.send_response(HTTPStatus.NO_CONTENT)
            else:
                self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            log.debug("webhook_received", line=format % args)

    with ThreadingHTTPServer((LOOPBACK, 0), Hook) as server:
        receivers.base_url = f"http://{LOOPBACK}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, name="webhook", daemon=True)
        thread.start()
        # Port 0 leaves the choice to the system; aiosmtpd connects to itself and needs to know it.
        mail = Controller(receivers, hostname=LOOPBACK, port=_free_port(), ready_timeout=10.0)
        mail.start()
        receivers.smtp_port = mail.port
        try:
            yield receivers
        finally:
            mail.stop()
            server.shutdown()
            thread.join()


def _free_port() -> int:
    from maasloop.stack.ports import free_ports

    return free_ports(1)[0]


async def create_alerting(channel: grpc.aio.Channel, cast: Cast, receivers: Receivers) -> None:
    """Create rules and subscriptions: Dutch by webhook, English by mail."""
    stub = NotificationServiceStub(channel)
    for rule_id, rule in _rules(cast).items():
        wanted = CreateAlertRuleRequest(alert_rule_id=f"{rule_id}-{cast.district}", alert_rule=rule)
        await call(stub.CreateAlertRule, wanted)
    parent = str(DistrictName(cast.district))
    hook = Subscription(language="nl", webhook=Webhook(url=receivers.webhook_url))
    mail = Subscription(language="en", email=Email(address=receivers.mail_address))
    for subscription_id, subscription in (("district-desk", hook), ("neighbourhood-team", mail)):
        request = CreateSubscriptionRequest(parent=parent, subscription_id=subscription_id, subscription=subscription)
        created = await call(stub.CreateSubscription, request)
        if created.HasField("webhook"):
            receivers.secret = created.webhook.secret


def _rules(cast: Cast) -> dict[str, AlertRule]:
    soot = AlertRule(
        district=cast.district,
        category="air",
        observation=ObservationCondition(
            observed_property="pm25", raise_condition="value > 75.0", resolve_condition="value < 40.0"
        ),
        title={"nl": "Veel fijnstof bij {device}", "en": "Much fine dust at {device}"},
        body={"nl": "{value} microgram per kubieke meter.", "en": "{value} micrograms per cubic metre."},
    )
    shower = AlertRule(
        district=cast.district,
        category="water",
        observation=ObservationCondition(observed_property="rain-intensity", raise_condition="value > 5.0"),
        title={"nl": "Stortbui", "en": "Heavy shower"},
        body={"nl": "{value} mm per uur bij {device}.", "en": "{value} mm an hour at {device}."},
    )
    broken = AlertRule(
        district=cast.district,
        category="light",
        command=CommandCondition(raise_condition='state == "FAILED"'),
        title={"nl": "{device} gehoorzaamt niet", "en": "{device} does not obey"},
        body={"nl": "Een opdracht aan {device} is mislukt.", "en": "A command to {device} failed."},
    )
    silent = AlertRule(
        district=cast.district,
        category="noise",
        silence=SilenceCondition(observed_property="noise-level", after=Duration(seconds=SILENT_AFTER_S)),
        title={"nl": "{device} zwijgt", "en": "{device} is silent"},
        body={"nl": "Geen meting van {device}.", "en": "No reading of {device}."},
    )
    return {"fine-dust": soot, "shower": shower, "disobedience": broken, "silence": silent}
