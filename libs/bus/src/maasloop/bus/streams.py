"""Streams and durables, declared as data.

**Custody streams** hold what was acknowledged and is not yet a row: they refuse new messages when full, and have no age
limit, because a writer that is down longer than an age limit would silently lose what was acknowledged. Space in them
comes back only by ``purge`` up to what their durable owners have committed. Dead letters alone have an age: nobody owns
them but the operator. **Copies** hold facts whose truth is their owner's tables: they forget the oldest. A **bucket** holds the
newest word under each key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from maasloop.core.domains import PERSONAL as PERSONAL_KEY
from maasloop.core.domains import Domain

from . import subjects

MIB = 1024 * 1024
NANOSECONDS = 1_000_000_000
DUPLICATE_WINDOW_S = 600
"""JetStream drops a message id that it saw within this time."""
BACKOFF_S = (1, 5, 15, 30, 60)
"""Redelivery of what was not acknowledged in time."""
SOON_S = 5
"""``ack_wait_s`` where somebody waits: what a killed process or a dead link had in hand comes again while it is young
enough to cause a command. Coming twice does no harm."""


class Keeping(StrEnum):
    """What a stream does when it is full."""

    CUSTODY = "custody"
    COPY = "copy"
    BUCKET = "bucket"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: ``max_bytes`` for a laptop, multiplied by the profile's ``scale``."""

    name: str
    subjects: tuple[str, ...]
    keeping: Keeping
    max_bytes: int
    max_msg_size: int = 1 * MIB
    max_age_s: int = 0
    """0 = no age limit."""
    meaning: str = ""

    def config(self, *, scale: float = 1.0, replicas: int = 1) -> dict[str, Any]:
        """Return the configuration as the JetStream API takes it."""
        bucket = {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True} if self.keeping is Keeping.BUCKET else {}
        return {
            **bucket,
            "name": self.name,
            "description": self.meaning,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "num_replicas": replicas,
            "discard": "old" if self.keeping is Keeping.COPY else "new",
            "max_bytes": int(self.max_bytes * scale),
            "max_msg_size": self.max_msg_size,
            "max_age": self.max_age_s * NANOSECONDS,
            "max_msgs": -1,
            "max_consumers": -1,
            "duplicate_window": DUPLICATE_WINDOW_S * NANOSECONDS,
            "allow_direct": True,
            "deny_delete": False,
        }


@dataclass(frozen=True, slots=True)
class Durable:
    """A durable pull consumer."""

    name: str
    stream: str
    service: str
    filters: tuple[str, ...] = ()
    """Empty = the whole stream."""
    ack_wait_s: int = 30
    max_ack_pending: int = 1_024
    max_deliver: int = -1
    """Unlimited: giving up is decided by the consumer, which writes a dead letter."""
    deliver: str = "all"
    """``all`` or ``new``: where a fresh durable begins."""
    meaning: str = ""

    def config(self) -> dict[str, Any]:
        """Return the configuration as the JetStream API takes it."""
        config: dict[str, Any] = {
            "durable_name": self.name,
            "name": self.name,
            "description": self.meaning,
            "deliver_policy": self.deliver,
            "ack_policy": "explicit",
            "ack_wait": self.ack_wait_s * NANOSECONDS,
            "max_ack_pending": self.max_ack_pending,
            "max_deliver": self.max_deliver,
            "replay_policy": "instant",
        }
        if len(self.filters) == 1:
            config["filter_subject"] = self.filters[0]
        elif self.filters:
            config["filter_subjects"] = list(self.filters)
        return config


DAY_S = 86_400
OBSERVATIONS = Stream(
    "OBSERVATIONS",
    tuple(subjects.OBSERVATION_RECORDED.wildcard(key=str(domain)) for domain in Domain),
    Keeping.CUSTODY,
    4_096 * MIB,
    meaning="Acknowledged readings until they are rows, and as long as space allows a day of them for integrators.",
)
IMPORTS = Stream(
    "IMPORTS",
    (subjects.OBSERVATION_IMPORTED.wildcard(),),
    Keeping.CUSTODY,
    1_024 * MIB,
    meaning="Acknowledged readings of the past until they are rows: history, and what devices buffered for hours.",
)
PERSONAL = Stream(
    "PERSONAL",
    (subjects.OBSERVATION_RECORDED.wildcard(key=PERSONAL_KEY),),
    Keeping.CUSTODY,
    256 * MIB,
    meaning="Acknowledged readings of personal series until they are rows.",
)
RESPONSES = Stream(
    "RESPONSES",
    (subjects.RESPONSE_RECORDED.wildcard(),),
    Keeping.CUSTODY,
    256 * MIB,
    meaning="What devices answered to commands.",
)
QUARANTINE = Stream(
    "QUARANTINE",
    (subjects.OBSERVATION_QUARANTINED.wildcard(),),
    Keeping.CUSTODY,
    512 * MIB,
    max_msg_size=5 * MIB,
    meaning="Refused readings with their original bytes, until ingest has them in its table.",
)
DEVICES = Stream(
    "DEVICES",
    tuple(
        fact.wildcard()
        for fact in (
            subjects.DEVICE_REGISTERED,
            subjects.DEVICE_UPDATED,
            subjects.DEVICE_ACTIVATED,
            subjects.DEVICE_RETIRED,
        )
    ),
    Keeping.COPY,
    512 * MIB,
    max_msg_size=5 * MIB,
    max_age_s=DAY_S,
    meaning="Changes of the registry.",
)
CONSENT = Stream(
    "CONSENT",
    tuple(
        fact.wildcard()
        for fact in (
            subjects.CONSENT_GRANTED,
            subjects.CONSENT_WITHDRAWN,
            subjects.CONSENT_OBJECTED,
            subjects.CONSENT_ERASED,
        )
    ),
    Keeping.COPY,
    128 * MIB,
    max_age_s=DAY_S,
    meaning="Changes of consent.",
)
COMMANDS = Stream(
    "COMMANDS",
    tuple(fact.wildcard() for fact in (subjects.COMMAND_ISSUED, subjects.COMMAND_DISPATCHED, subjects.COMMAND_SETTLED)),
    Keeping.COPY,
    512 * MIB,
    max_age_s=7 * DAY_S,
    meaning="Commands and what became of them.",
)
DECISIONS = Stream(
    "DECISIONS",
    (subjects.DECISION_RECORDED.wildcard(),),
    Keeping.COPY,
    256 * MIB,
    max_age_s=DAY_S,
    meaning="What was decided about each second of the street.",
)
ALERTS = Stream(
    "ALERTS",
    tuple(fact.wildcard() for fact in (subjects.ALERT_RAISED, subjects.ALERT_ACKNOWLEDGED, subjects.ALERT_RESOLVED)),
    Keeping.COPY,
    128 * MIB,
    max_age_s=7 * DAY_S,
    meaning="Alerts and what became of them.",
)
AUDIT = Stream(
    "AUDIT",
    (subjects.AUDIT_CHECKPOINTED.wildcard(),),
    Keeping.COPY,
    64 * MIB,
    max_age_s=90 * DAY_S,
    meaning="Signed checkpoints of the audit logs, for witnesses.",
)
DEADLETTERS = Stream(
    "DEADLETTERS",
    (subjects.DEAD_LETTERS,),
    Keeping.CUSTODY,
    256 * MIB,
    max_msg_size=6 * MIB,
    max_age_s=90 * DAY_S,
    meaning="Messages that a consumer gave up, with the reason in their headers.",
)
LEASES = Stream(
    f"KV_{subjects.LEASE_BUCKET}",
    (subjects.LEASES,),
    Keeping.BUCKET,
    1 * MIB,
    max_msg_size=MIB // 64,
    meaning="Who does what only one process may do.",
)
REVOCATIONS = Stream(
    f"KV_{subjects.REVOCATION_BUCKET}",
    (subjects.REVOCATIONS,),
    Keeping.BUCKET,
    16 * MIB,
    max_msg_size=MIB // 64,
    meaning="People, programs and API keys whose tokens are refused.",
)
STREAMS: tuple[Stream, ...] = (
    OBSERVATIONS,
    IMPORTS,
    PERSONAL,
    RESPONSES,
    QUARANTINE,
    DEVICES,
    CONSENT,
    COMMANDS,
    DECISIONS,
    ALERTS,
    AUDIT,
    DEADLETTERS,
    LEASES,
    REVOCATIONS,
)

MQTT_MAX_BYTES = 1_024 * MIB
"""Bound of the stream in which nats-server stores QoS 1 publishes."""
MQTT_MAX_MSG_SIZE = 1 * MIB
"""Four times what the door decodes, so that a payload that is somewhat too large is still refused with a reason."""

MQTT_UPLINKS = Durable(
    "ingest-mqtt",
    subjects.MQTT_STREAM,
    "ingest",
    (subjects.MQTT_UPLINKS,),
    ack_wait_s=SOON_S,
    max_ack_pending=8_192,
    meaning="The MQTT door: what a PUBACK was sent for.",
)
MQTT_SPACE = Durable(
    "ingest-mqtt-space",
    subjects.MQTT_STREAM,
    "ingest",
    (subjects.MQTT_UPLINKS,),
    meaning="Nobody pulls it: it keeps uplinks until ingest purges what is done, since dropping each for itself costs the"
    " broker a synchronous write.",
)
MQTT_RESPONSES = Durable(
    "ingest-responses",
    subjects.MQTT_STREAM,
    "ingest",
    subjects.MQTT_RESPONSES,
    ack_wait_s=SOON_S,
    meaning="Answers to commands over MQTT, which never wait behind readings.",
)
CHIRPSTACK_UPLINKS = Durable(
    "ingest-chirpstack",
    subjects.MQTT_STREAM,
    "ingest",
    (subjects.CHIRPSTACK_UPLINKS,),
    # What was on the wire when the broker died comes again soon; coming twice does no harm.
    ack_wait_s=10,
    max_ack_pending=1_024,
    meaning="Uplinks of LoRaWAN devices, as their network server publishes them.",
)
QUARANTINE_TABLE = Durable(
    "ingest-quarantine", "QUARANTINE", "ingest", meaning="Refused readings on their way into ingest's table."
)
OBSERVATION_ROWS = Durable(
    "timeseries-observations", "OBSERVATIONS", "timeseries", max_ack_pending=4_096, meaning="Readings to be rows."
)
IMPORT_ROWS = Durable(
    "timeseries-imports",
    "IMPORTS",
    "timeseries",
    max_ack_pending=4_096,
    meaning="Readings of the past to be rows, behind those of the present.",
)
PERSONAL_ROWS = Durable(
    "timeseries-personal", "PERSONAL", "timeseries", max_ack_pending=1_024, meaning="Personal readings to be rows."
)
QUARANTINE_COUNT = Durable(
    "timeseries-quarantine",
    "QUARANTINE",
    "timeseries",
    meaning="Refused readings to be counted in the custody balance.",
)
STREET = Durable(
    "actuation-street",
    "OBSERVATIONS",
    "actuation",
    ack_wait_s=SOON_S,
    max_ack_pending=8_192,
    deliver="new",
    meaning="Readings to decide upon; a restart begins with the newest, since old ones never cause a command.",
)
SETTLEMENTS = Durable(
    "actuation-responses",
    "RESPONSES",
    "actuation",
    ack_wait_s=SOON_S,
    max_ack_pending=4_096,
    meaning="Answers that settle commands.",
)
ALERT_READINGS = Durable(
    "notification-observations",
    "OBSERVATIONS",
    "notification",
    ack_wait_s=SOON_S,
    max_ack_pending=4_096,
    deliver="new",
    meaning="Readings that alert rules watch.",
)
ALERT_COMMANDS = Durable(
    "notification-commands",
    "COMMANDS",
    "notification",
    (subjects.COMMAND_SETTLED.wildcard(),),
    ack_wait_s=SOON_S,
    deliver="new",
    meaning="Command outcomes that alert rules watch.",
)
DURABLES: tuple[Durable, ...] = (
    MQTT_UPLINKS,
    MQTT_SPACE,
    MQTT_RESPONSES,
    CHIRPSTACK_UPLINKS,
    QUARANTINE_TABLE,
    OBSERVATION_ROWS,
    IMPORT_ROWS,
    PERSONAL_ROWS,
    QUARANTINE_COUNT,
    STREET,
    SETTLEMENTS,
    ALERT_READINGS,
    ALERT_COMMANDS,
)


def mqtt_stream_config(found: Mapping[str, Any], *, scale: float = 1.0) -> dict[str, Any]:
    """Return the server's own configuration of ``$MQTT_msgs``, bounded and refusing when full."""
    bounds = {"max_bytes": int(MQTT_MAX_BYTES * scale), "max_msg_size": MQTT_MAX_MSG_SIZE, "discard": "new"}
    return {**found, **bounds}
