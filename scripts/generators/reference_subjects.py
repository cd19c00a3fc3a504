"""Writes ``subjects.md``: what travels on NATS, on which subject, and which stream keeps it."""

from generators.pages import code, page, section, table
from maasloop.bus.streams import DURABLES, STREAMS, Stream
from maasloop.bus.subjects import (
    DEAD_LETTERS,
    FACTS,
    INGEST_RECORD,
    DownlinkKind,
    Fact,
    UplinkKind,
    downlink,
    mqtt_topic,
    uplink,
)

SOURCE = "`maasloop.bus.subjects` and `maasloop.bus.streams`"
UPLINKS = {
    UplinkKind.OBSERVATIONS_JSON: "Observations as JSON.",
    UplinkKind.OBSERVATIONS_SENML: "Observations as SenML JSON (RFC 8428).",
    UplinkKind.OBSERVATIONS_SENML_CBOR: "Observations as SenML CBOR (RFC 8428).",
    UplinkKind.OBSERVATIONS_PB: "`ObservationColumns` as protobuf.",
    UplinkKind.RESPONSES_JSON: "`DeviceResponse` as protobuf JSON.",
    UplinkKind.RESPONSES_PB: "`DeviceResponse` as protobuf.",
}
DOWNLINKS = {
    DownlinkKind.COMMANDS: "A signed `DeviceCommand`: JWS (RFC 7515) over protobuf JSON; QoS 0, sent again until answered "
    "or expired.",
    DownlinkKind.RECEIPTS: "`DeviceReceipt` as protobuf JSON: why readings were refused; the durable answer is the "
    "quarantine list.",
}
_FACTS = """
A fact is said after it is true: its publisher has it in its tables, or the broker has it in its stream. Bodies are
protobuf; headers are CloudEvents in binary mode (`ce-id`, `ce-source`, `ce-type`, `ce-specversion`, `ce-time`,
`ce-datacontenttype`), `traceparent`, and `Nats-Msg-Id`, equal to `ce-id`.
"""
_DEVICES = "Over MQTT write `/` for `.`. The last token says content and coding."
_OTHERS = "A dead letter keeps the original subject, the reason and the attempt in its headers."
_STREAMS = """
**Custody** streams hold what was acknowledged and is not yet a row: they refuse when full and have no age limit; space
comes back by a purge up to what their durable owners have committed. **Copies** forget the oldest: their truth is
their owner's tables. A **bucket** keeps the newest word under each key. Sizes are those of a laptop.
"""
_HOLE = "x0x"
"""An id that stands for what is filled in, since the registry refuses braces."""


def subjects_page() -> str:
    """Return the page."""
    facts = [(code(address(fact)), fact.key, code(fact.message), fact.publisher, fact.meaning) for fact in FACTS]
    devices = [(code(device_topic(each)), f"{way}", text) for each, way, text in device_kinds()]
    others = [
        (
            code(INGEST_RECORD),
            (
                "Request: `RecordObservationsRequest`, answered after the broker has stored it; a refusal has the header"
                " `maasloop-reason`, `maasloop-retry-after` (s) where the same request may succeed, and a sentence."
            ),
        ),
        (code(DEAD_LETTERS), "Messages that a consumer gave up: `maasloop.deadletter.{service}.{consumer}`."),
    ]
    return page(
        "Subjects",
        SOURCE,
        section("Facts", _FACTS, table(("subject", "key", "body", "publisher", "meaning"), facts)),
        section("Devices", _DEVICES, table(("subject", "way", "body"), devices)),
        section("Requests and dead letters", _OTHERS, table(("subject", "meaning"), others)),
        section("Streams", _STREAMS, _streams()),
        section("Durable consumers", _durables()),
    )


def address(fact: Fact) -> str:
    """Return the subject of a fact with its parameters in braces."""
    return fact.subject("district-" + _HOLE, "key-" + _HOLE).replace(
        f"district-{_HOLE}.key-{_HOLE}", "{district}.{key}"
    )


def device_kinds() -> list[tuple[UplinkKind | DownlinkKind, str, str]]:
    """Return what devices send and receive."""
    return [
        *((kind, "device sends", text) for kind, text in UPLINKS.items()),
        *((kind, "device receives", text) for kind, text in DOWNLINKS.items()),
    ]


def device_topic(kind: UplinkKind | DownlinkKind) -> str:
    """Return the subject of a device with its parameters in braces."""
    district, device = f"district-{_HOLE}", f"device-{_HOLE}"
    subject = uplink(district, device, kind) if isinstance(kind, UplinkKind) else downlink(district, device, kind)
    return subject.replace(f"district-{_HOLE}.device-{_HOLE}", "{district}.{device}")


def device_mqtt_topic(kind: UplinkKind | DownlinkKind) -> str:
    """Return the same for MQTT."""
    return mqtt_topic(device_topic(kind))


def _streams() -> str:
    rows = [
        (
            code(each.name),
            ", ".join(map(code, each.subjects)),
            each.keeping.value,
            _size(each),
            _age(each),
            each.meaning,
        )
        for each in STREAMS
    ]
    return table(("stream", "subjects", "keeping", "size", "age", "meaning"), rows)


def _size(stream: Stream) -> str:
    return f"{stream.max_bytes // 2**20} MiB, {_bytes(stream.max_msg_size)} a message"


def _bytes(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"


def _age(stream: Stream) -> str:
    return f"{stream.max_age_s // 86_400} d" if stream.max_age_s else "none"


def _durables() -> str:
    rows = [
        (
            code(each.name),
            code(each.stream),
            each.service,
            str(each.max_ack_pending),
            f"{each.ack_wait_s} s",
            each.meaning,
        )
        for each in DURABLES
    ]
    return table(("durable", "stream", "service", "unacknowledged at most", "redelivery after", "meaning"), rows)
