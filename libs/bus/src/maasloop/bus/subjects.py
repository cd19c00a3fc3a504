"""The registry of subjects: the only place that builds, parses or spells one.

A fact travels on ``maasloop.{noun}.{past-verb}.{vN}.{district}.{key}``, always six tokens, version before identifiers,
so that ``maasloop.observation.recorded.v1.>`` and ``maasloop.*.*.v1.noord.>`` both work. Devices speak on
``dev.v1.{district}.{device}.up.{kind}`` and listen on ``…down.{commands,receipts}``, over MQTT with ``/`` for ``.``.
Outside these forms there are only dead letters and requests.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from maasloop.core.domains import PERSONAL, Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id, valid_id

ROOT = "maasloop"
DEVICE_ROOT = "dev"
DEVICE_VERSION = "v1"
ALL_DISTRICTS = "all"
"""District token of facts that belong to no district."""

ANY = "*"
"""Matches one token."""
TOKENS = 6
"""Tokens of the subject of a fact, and of a device."""

KEY_DOMAIN = f"{'|'.join(Domain)} or {PERSONAL}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of fact: what its subject, its message and its key are."""

    noun: str
    verb: str
    version: str
    key: str
    message: str
    """Full name of the protobuf message in the body; also the ``ce-type``."""
    publisher: str
    meaning: str

    def subject(self, district: str, key: str) -> str:
        """Return the subject of one fact; refuses tokens that are no ids."""
        require_id(district, "district")
        require_id(key, "key")
        return f"{ROOT}.{self.noun}.{self.verb}.{self.version}.{district}.{key}"

    def wildcard(self, district: str = ANY, key: str = ANY) -> str:
        """Return a subject that matches many facts of this kind."""
        for part, field in ((district, "district"), (key, "key")):
            if part != ANY:
                require_id(part, field)
        return f"{ROOT}.{self.noun}.{self.verb}.{self.version}.{district}.{key}"


_API = "maasloop.api"


def _observation(verb: str, message: str, publisher: str, key: str, meaning: str) -> Fact:
    return Fact("observation", verb, "v1", key, f"{_API}.observation.v1.{message}", publisher, meaning)


def _device(verb: str, meaning: str) -> Fact:
    return Fact(
        "device", verb, "v1", "device, or import", f"{_API}.device.v1.DevicesChanged", "device-registry", meaning
    )


def _command(verb: str, meaning: str) -> Fact:
    return Fact("command", verb, "v1", "command", f"{_API}.command.v1.CommandChanged", "actuation", meaning)


def _alert(verb: str, meaning: str) -> Fact:
    return Fact("alert", verb, "v1", "device", f"{_API}.notification.v1.AlertChanged", "notification", meaning)


def _consent(verb: str, meaning: str) -> Fact:
    return Fact("consent", verb, "v1", "data subject", f"{_API}.consent.v1.ConsentChanged", "consent", meaning)


def _confirmed(noun: str, publisher: str) -> Fact:
    message = f"{_API}.device.v1.RevisionConfirmed"
    return Fact(noun, "confirmed", "v1", "service", message, publisher, "The owner's last revision, once a second.")


OBSERVATION_RECORDED = _observation(
    "recorded", "ObservationsRecorded", "ingest", KEY_DOMAIN, "Valid readings, stored by the broker."
)
OBSERVATION_IMPORTED = _observation(
    "imported", "ObservationsRecorded", "ingest", "|".join(Domain), "Valid readings of the past, stored by the broker."
)
OBSERVATION_QUARANTINED = _observation(
    "quarantined", "ReadingsQuarantined", "ingest, timeseries", "door", "Refused readings with their original bytes."
)
RESPONSE_RECORDED = Fact(
    "response", "recorded", "v1", "device", f"{_API}.observation.v1.ResponseRecorded", "ingest", "A device's answer."
)
DEVICE_REGISTERED = _device("registered", "A device is known.")
DEVICE_UPDATED = _device("updated", "A device, or a resource of the catalogue, changed.")
DEVICE_ACTIVATED = _device("activated", "A device is in service.")
DEVICE_RETIRED = _device("retired", "A device is out of service for good.")
DEVICE_CONFIRMED = _confirmed("device", "device-registry")
DECISION_RECORDED = Fact(
    "decision",
    "recorded",
    "v1",
    "clock device, or controller",
    f"{_API}.command.v1.DecisionRecorded",
    "actuation",
    "What was decided about one second of the street.",
)
SIGNAL_PREDICTED = Fact(
    "signal",
    "predicted",
    "v1",
    "signal controller",
    f"{_API}.command.v1.SignalPredicted",
    "actuation",
    "What signal groups show and when they change, once a second; not kept.",
)
COMMAND_ISSUED = _command("issued", "A command was accepted or refused.")
COMMAND_DISPATCHED = _command("dispatched", "A command was handed to its driver.")
COMMAND_SETTLED = _command("settled", "A command reached a terminal state.")
ALERT_RAISED = _alert("raised", "A condition holds.")
ALERT_ACKNOWLEDGED = _alert("acknowledged", "Somebody took an alert.")
ALERT_RESOLVED = _alert("resolved", "An alert is over.")
CONSENT_GRANTED = _consent("granted", "A person consents; also a new processing activity.")
CONSENT_WITHDRAWN = _consent("withdrawn", "A person withdrew, or a record expired.")
CONSENT_OBJECTED = _consent("objected", "A person objected.")
CONSENT_ERASED = _consent("erased", "A person's data is to be erased.")
CONSENT_CONFIRMED = _confirmed("consent", "consent")
AUDIT_CHECKPOINTED = Fact(
    "audit",
    "checkpointed",
    "v1",
    "service",
    f"{_API}.common.v1.AuditCheckpointed",
    "ingest, device-registry, timeseries, actuation, notification, consent",
    "What a service's audit log is, signed.",
)

FACTS: tuple[Fact, ...] = (
    OBSERVATION_RECORDED,
    OBSERVATION_IMPORTED,
    OBSERVATION_QUARANTINED,
    RESPONSE_RECORDED,
    DEVICE_REGISTERED,
    DEVICE_UPDATED,
    DEVICE_ACTIVATED,
    DEVICE_RETIRED,
    DEVICE_CONFIRMED,
    DECISION_RECORDED,
    SIGNAL_PREDICTED,
    COMMAND_ISSUED,
    COMMAND_DISPATCHED,
    COMMAND_SETTLED,
    ALERT_RAISED,
    ALERT_ACKNOWLEDGED,
    ALERT_RESOLVED,
    CONSENT_GRANTED,
    CONSENT_WITHDRAWN,
    CONSENT_OBJECTED,
    CONSENT_ERASED,
    CONSENT_CONFIRMED,
    AUDIT_CHECKPOINTED,
)
_BY_TOKENS = {(fact.noun, fact.verb, fact.version): fact for fact in FACTS}


class FactSubject(NamedTuple):
    """A parsed subject of a fact."""

    fact: Fact
    district: str
    key: str


def parse_fact(subject: str) -> FactSubject:
    """Parse the subject of a fact, or refuse it."""
    tokens = subject.split(".")
    if len(tokens) == TOKENS and tokens[0] == ROOT and valid_id(tokens[4]) and valid_id(tokens[5]):
        fact = _BY_TOKENS.get((tokens[1], tokens[2], tokens[3]))
        if fact is not None:
            return FactSubject(fact, tokens[4], tokens[5])
    message = f"{subject[:200]!r} is not the subject of a fact"
    raise InvalidArgument("NAME_MALFORMED", message, {"pattern": f"{ROOT}.noun.verb.vN.district.key"})


class UplinkKind(StrEnum):
    """Content and coding of what a device sends."""

    OBSERVATIONS_JSON = "observations-json"
    OBSERVATIONS_SENML = "observations-senml"
    OBSERVATIONS_SENML_CBOR = "observations-senml-cbor"
    OBSERVATIONS_PB = "observations-pb"
    RESPONSES_JSON = "responses-json"
    RESPONSES_PB = "responses-pb"


class DownlinkKind(StrEnum):
    """What a device receives."""

    COMMANDS = "commands"
    RECEIPTS = "receipts"


class UplinkSubject(NamedTuple):
    """A parsed subject that a device sent on."""

    district: str
    device: str
    kind: UplinkKind


def uplink(district: str, device: str, kind: UplinkKind) -> str:
    """Return the subject on which a device sends."""
    return f"{_device_subject(district, device)}.up.{kind}"


def downlink(district: str, device: str, kind: DownlinkKind) -> str:
    """Return the subject on which a device listens."""
    return f"{_device_subject(district, device)}.down.{kind}"


def _device_subject(district: str, device: str) -> str:
    require_id(district, "district")
    require_id(device, "device")
    return f"{DEVICE_ROOT}.{DEVICE_VERSION}.{district}.{device}"


def parse_uplink(subject: str) -> UplinkSubject:
    """Parse a subject that a device sent on, or refuse it."""
    tokens = subject.split(".")
    if (
        len(tokens) == TOKENS
        and tokens[:2] == [DEVICE_ROOT, DEVICE_VERSION]
        and tokens[4] == "up"
        and valid_id(tokens[2])
        and valid_id(tokens[3])
        and tokens[5] in UplinkKind
    ):
        return UplinkSubject(tokens[2], tokens[3], UplinkKind(tokens[5]))
    message = f"{subject[:200]!r} is not a subject for devices to send on"
    raise InvalidArgument("NAME_MALFORMED", message, {"pattern": f"{DEVICE_ROOT}.v1.district.device.up.kind"})


def mqtt_topic(subject: str) -> str:
    """Return the MQTT topic of a device subject."""
    return subject.replace(".", "/")


MQTT_STREAM = "$MQTT_msgs"
"""The stream in which nats-server stores a QoS 1 publish before its PUBACK (one an account)."""
MQTT_STORED_PREFIX = "$MQTT.msgs."
"""Prefix of subjects in ``MQTT_STREAM``."""
MQTT_UPLINKS = f"{MQTT_STORED_PREFIX}{DEVICE_ROOT}.{DEVICE_VERSION}.*.*.up.>"
"""Every stored uplink of every device."""
MQTT_RESPONSES = tuple(
    f"{MQTT_STORED_PREFIX}{DEVICE_ROOT}.{DEVICE_VERSION}.*.*.up.{kind}"
    for kind in (UplinkKind.RESPONSES_JSON, UplinkKind.RESPONSES_PB)
)
"""Stored answers to commands."""
CHIRPSTACK_UPLINKS = f"{MQTT_STORED_PREFIX}application.*.device.*.event.up"
"""Every stored uplink event of a ChirpStack network server."""
UPLINKS_QOS0 = f"{DEVICE_ROOT}.{DEVICE_VERSION}.*.*.up.>"
"""Uplinks as core messages: the only way that QoS 0 is heard."""


def stored_uplink(subject: str) -> UplinkSubject:
    """Parse the subject of a message of ``MQTT_STREAM``, or refuse it."""
    return parse_uplink(subject.removeprefix(MQTT_STORED_PREFIX))


def dead_letter(service: str, consumer: str) -> str:
    """Return the subject of messages that a consumer gave up."""
    require_id(service, "service")
    require_id(consumer, "consumer")
    return f"{ROOT}.deadletter.{service}.{consumer}"


DEAD_LETTERS = f"{ROOT}.deadletter.>"

LEASE_BUCKET = f"{ROOT}-leases"
"""The JetStream KV bucket in which processes hold what only one of them may do."""
LEASES = f"$KV.{LEASE_BUCKET}.>"
"""Every lease, and who holds it."""


def lease(service: str, part: int) -> str:
    """Return the subject of the lease on a part of a service's work."""
    require_id(service, "service")
    return f"{LEASES.removesuffix('>')}{service}.{part}"


REVOCATION_BUCKET = f"{ROOT}-revocations"
"""The JetStream KV bucket that says whose tokens are refused."""
REVOCATIONS = f"$KV.{REVOCATION_BUCKET}.>"
"""Every person, program and API key that was revoked."""


def revocation(kind: str, name: str) -> str:
    """Return the subject of the revocation of a name, which may hold any characters."""
    require_id(kind, "kind")
    return f"{REVOCATIONS.removesuffix('>')}{kind}.{hashlib.sha256(name.encode()).hexdigest()}"


def request(service: str, verb: str) -> str:
    """Return the subject of requests to a service over NATS."""
    require_id(service, "service")
    require_id(verb, "verb")
    return f"{ROOT}.rpc.{service}.{verb}"


INGEST_RECORD = request("ingest", "record")
"""Ingest's NATS door: body RecordObservationsRequest, answered after the PubAck."""
