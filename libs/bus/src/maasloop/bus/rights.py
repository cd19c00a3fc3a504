"""What each user of the bus may publish and subscribe, derived from the registry of subjects and the declared streams.

Nothing is spelled twice: who publishes a fact stands beside the fact, who owns a durable beside the durable. What no
declaration says (who follows whom, who looks into streams) stands in the tables below. Nobody gets ``>``; each user has
inboxes of its own, so that no other user hears its answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from maasloop.identity.nats.claims import Rights

from . import subjects
from .streams import (
    DURABLES,
    IMPORTS,
    LEASES,
    MQTT_SPACE,
    MQTT_UPLINKS,
    OBSERVATIONS,
    PERSONAL,
    QUARANTINE,
    RESPONSES,
    REVOCATIONS,
    STREAMS,
    Durable,
    Stream,
)
from .tenants import ALONE, Tenant

SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "notification", "consent")
OPERATOR = "operator"
"""The person at the machine: hears everything, asks ingest's NATS door."""
ENSURE = "ensure"
"""The step that declares streams, in the account of the services."""
ENSURE_DEVICES = ALONE[0].ensure_user
"""The same step in the account of the devices; each further tenant's has one of its own."""
DEVICES = "devices"
"""Speaks over MQTT for all devices, in tests and benches that enrol none; no stack has it otherwise."""
REVOKER = "revoker"
"""Closes connections."""
ACCOUNTS = "accounts"
"""Tells the server of changed accounts."""
CALLOUT = "callout"
"""Decides which devices enter."""
WITNESS = "witness"
"""Hears the checkpoints of the audit logs."""
KEEPER = "keeper"
"""Copies streams for a backup and makes them again from one; a city has this user once somebody backed it up."""

CUSTODY_OWNER = "timeseries"
"""Who reads the custody streams at will, and gives space back in them."""
FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("device", "consent"),
    "timeseries": ("device", "consent"),
    "actuation": ("device",),
    "notification": ("device",),
}
"""The nouns whose facts a service hears to keep a projection."""
RECEIPTS_BY = "ingest"
"""Who tells devices what became of their readings."""
DOWNLINK = "actuation-downlink"
"""Sends commands, in an account of its own: whoever pulls from a stream may have its messages delivered on any subject
of the account, so nothing that devices obey may cross from where streams are."""
ASKS_INGEST = ("actuation", OPERATOR)
"""Who records observations over NATS."""
LOOKS_AT: Mapping[str, tuple[Stream, ...]] = {"ingest": (OBSERVATIONS, IMPORTS, PERSONAL)}
"""Streams whose fill a service asks for."""
OWNED: Mapping[str, tuple[Stream, ...]] = {CUSTODY_OWNER: (OBSERVATIONS, IMPORTS, PERSONAL, QUARANTINE, RESPONSES)}
"""Streams that a service reads at will and gives space back in."""
HOLDS_LEASES = ("timeseries",)
OPEN = (
    subjects.OBSERVATION_RECORDED,
    subjects.ALERT_RAISED,
    subjects.ALERT_ACKNOWLEDGED,
    subjects.ALERT_RESOLVED,
)
"""Facts that integrators hear, readings of persons excepted: those do not cross."""
REVOKES = "device-registry"
"""Who says whose tokens are refused; every service asks."""
ANSWERS_MAX = 1
ANSWER_WITHIN_S = 60.0
API = "$JS.API"

DEVICES_API = ALONE[0].api
"""The name in ``CORE`` of what is asked of JetStream in the account of the devices, where a city has one tenant."""
MQTT_DURABLES = tuple(durable for durable in DURABLES if durable.stream == subjects.MQTT_STREAM)
MQTT_PULLED = tuple(durable for durable in MQTT_DURABLES if durable != MQTT_SPACE)
"""Those that somebody pulls."""
_MQTT_LOOK = f"STREAM.INFO.{subjects.MQTT_STREAM}"


@cache
def mqtt_asked(tenant: Tenant) -> tuple[str, ...]:
    """Return what is asked about the stream behind a tenant's MQTT listener."""
    durables = (tenant.durable(durable) for durable in MQTT_DURABLES)
    infos = (f"CONSUMER.INFO.{durable.stream}.{durable.name}" for durable in durables)
    return (_MQTT_LOOK, f"STREAM.PURGE.{subjects.MQTT_STREAM}", *infos)


def inbox_prefix(user: str) -> str:
    """Return the first token of the subjects on which a user hears answers."""
    return f"_INBOX_{user}"


def service_rights(service: str, tenants: Sequence[Tenant] = ALONE) -> Rights:
    """Return the rights of one of the six services, in the account ``CORE`` of a city with these tenants."""
    publish: list[str] = [
        *facts_of(service),
        f"{subjects.ROOT}.deadletter.{service}.*",
        f"{API}.STREAM.MSG.GET.{REVOCATIONS.name}",
    ]
    subscribe: list[str] = []
    denied: list[str] = []
    owned = OWNED.get(service, ())
    for durable in (each for each in DURABLES if each.service == service and each != MQTT_SPACE):
        if durable in MQTT_DURABLES:
            publish += [subject for tenant in tenants for subject in pulling(tenant.durable(durable))]
        elif all(durable.stream != stream.name for stream in owned):
            publish += pulling(durable)
    if service == MQTT_UPLINKS.service:
        publish += [f"{tenant.api}.{verb}" for tenant in tenants for verb in mqtt_asked(tenant)]
        subscribe += [subjects.UPLINKS_QOS0, subjects.INGEST_RECORD]
    if service == CUSTODY_OWNER:
        publish += [f"{tenant.api}.{_MQTT_LOOK}" for tenant in tenants]
    for stream in owned:
        allowed, refused = owning(stream, service)
        publish += allowed
        denied += refused
    publish += [f"{API}.STREAM.INFO.{stream.name}" for stream in LOOKS_AT.get(service, ())]
    if service == RECEIPTS_BY:
        publish.append(down(subjects.DownlinkKind.RECEIPTS))
    if service in ASKS_INGEST:
        publish.append(subjects.INGEST_RECORD)
    if service == REVOKES:
        publish.append(subjects.REVOCATIONS)
    if service in HOLDS_LEASES:
        publish += [f"{subjects.LEASES.removesuffix('>')}{service}.*", f"{API}.STREAM.MSG.GET.{LEASES.name}"]
    subscribe += [wildcard for noun in FOLLOWS.get(service, ()) for wildcard in _facts_about(noun)]
    answers = ANSWERS_MAX if service == MQTT_UPLINKS.service else 0
    return _rights(service, publish, subscribe, denied=denied, answers=answers)


def facts_of(service: str) -> list[str]:
    """Return the subjects of the facts that a service publishes; a fact about a service is its own only."""
    return [
        fact.wildcard(key=service) if fact.key == "service" else fact.wildcard()
        for fact in subjects.FACTS
        if service in fact.publisher.split(", ")
    ]


def pulling(durable: Durable) -> list[str]:
    """Return what a durable's owner publishes: requests for more, acknowledgements, questions about it.

    Of the stream behind the MQTT listener only the first two cross accounts for every durable.
    """
    pulls = [_consumer("MSG.NEXT", durable), f"$JS.ACK.{durable.stream}.{durable.name}.>"]
    return pulls if durable.stream == subjects.MQTT_STREAM else [*pulls, _consumer("INFO", durable)]


def owning(stream: Stream, service: str) -> tuple[list[str], list[str]]:
    """Return what a stream's owner publishes to read it at will, and what it must leave to the durables of others.

    Its readers are consumers that the broker names, hence the wildcards.
    """
    name = stream.name
    here = [each for each in DURABLES if each.stream == name]
    others = [each for each in here if each.service != service]
    allowed = [
        f"{API}.STREAM.INFO.{name}",
        f"{API}.STREAM.MSG.GET.{name}",
        f"{API}.STREAM.PURGE.{name}",
        f"{API}.CONSUMER.CREATE.{name}",
        f"{API}.CONSUMER.INFO.{name}.*",
        f"{API}.CONSUMER.MSG.NEXT.{name}.*",
        f"{API}.CONSUMER.DELETE.{name}.*",
        f"$JS.ACK.{name}.*.>",
    ]
    if len(others) < len(here):
        # A partition's durable is named by its number and theirs: `…-2-of-3`.
        allowed.append(f"{API}.CONSUMER.DURABLE.CREATE.{name}.*")
    denied = [
        subject
        for each in others
        for subject in (
            _consumer("DURABLE.CREATE", each),
            _consumer("MSG.NEXT", each),
            _consumer("DELETE", each),
            f"$JS.ACK.{name}.{each.name}.>",
        )
    ]
    return allowed, denied


def ensure_rights() -> Rights:
    """Return what declares the streams of ``CORE``, and nothing that reads or empties one."""
    publish = [
        *(f"{API}.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("INFO", "CREATE", "UPDATE")),
        *_declaring(durable for durable in DURABLES if durable.stream != subjects.MQTT_STREAM),
    ]
    return _rights(ENSURE, publish, [])


def ensure_devices_rights(tenant: Tenant = ALONE[0]) -> Rights:
    """Return what bounds the stream behind the MQTT listener of a tenant's account and declares its durables."""
    publish = [
        *(f"{API}.STREAM.{verb}.{subjects.MQTT_STREAM}" for verb in ("INFO", "UPDATE")),
        *_declaring(tenant.durable(durable) for durable in MQTT_DURABLES),
    ]
    return _rights(tenant.ensure_user, publish, [])


def remove_devices_rights(tenant: Tenant) -> Rights:
    """Return what deletes the streams of a tenant that leaves, and looks whether anything waits there."""
    looks = (f"{API}.CONSUMER.INFO.{each.stream}.{each.name}" for each in map(tenant.durable, MQTT_PULLED))
    return _rights(tenant.remove_user, [f"{API}.STREAM.NAMES", f"{API}.STREAM.DELETE.*", *looks], [])


def devices_rights() -> Rights:
    """Return what all devices of an account and their network servers may do together."""
    root, network = f"{subjects.DEVICE_ROOT}.{subjects.DEVICE_VERSION}", "application"
    return Rights((f"{root}.*.*.up.>", f"{network}.>"), (f"{root}.*.*.down.>", f"{network}.>"))


def operator_rights() -> Rights:
    """Return the rights of the person at the machine: to hear all facts, uplinks and downlinks, and to record."""
    subscribe = [f"{subjects.ROOT}.>", f"{subjects.DEVICE_ROOT}.{subjects.DEVICE_VERSION}.>"]
    looks = [f"{API}.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("INFO", "MSG.GET")]
    direct = [f"{API}.DIRECT.GET.{stream.name}" for stream in STREAMS]
    return _rights(OPERATOR, [subjects.INGEST_RECORD, *looks, *direct], subscribe)


def downlink_rights() -> Rights:
    """Return what sends commands, in the account ``DOWNLINK``."""
    return _rights(DOWNLINK, [down(subjects.DownlinkKind.COMMANDS)], [])


def revoker_rights() -> Rights:
    """Return what closes connections, in the system account: ask a server for them, and end one."""
    return _rights(REVOKER, [f"$SYS.REQ.SERVER.*.{verb}" for verb in ("KICK", "CONNZ")], [])


def accounts_rights() -> Rights:
    """Return what tells the server of an account, or that it is gone, in the system account."""
    return _rights(ACCOUNTS, [f"$SYS.REQ.CLAIMS.{verb}" for verb in ("UPDATE", "DELETE")], [])


def callout_rights() -> Rights:
    """Return what decides about devices: it hears the server's questions and answers each once."""
    return _rights(CALLOUT, [], ["$SYS.REQ.USER.AUTH"], answers=ANSWERS_MAX)


def witness_rights() -> Rights:
    """Return what hears checkpoints, in the account ``AUDIT``."""
    return _rights(WITNESS, [], checkpoints())


def keeper_rights() -> Rights:
    """Return what copies the streams of ``CORE`` out and in, in that account; it reads no message and records none."""
    names = [stream.name for stream in STREAMS]
    publish = [
        *(f"{API}.STREAM.{verb}.{name}" for name in names for verb in ("INFO", "SNAPSHOT", "DELETE", "RESTORE")),
        *(f"$JS.SNAPSHOT.{step}.{name}.>" for name in names for step in ("ACK", "RESTORE")),
    ]
    return _rights(KEEPER, publish, [])


def integrator_rights(user: str) -> Rights:
    """Return what an integrator hears of what its account imports."""
    return _rights(user, [], [fact.wildcard() for fact in OPEN])


def checkpoints() -> list[str]:
    """Return the subjects on which audit logs publish their checkpoints."""
    return [fact.wildcard() for fact in subjects.FACTS if fact.noun == "audit"]


def core_rights(tenants: Sequence[Tenant] = ALONE) -> dict[str, Rights]:
    """Return the rights of every user of ``CORE`` by its name, in a city with these tenants."""
    return {
        **{service: service_rights(service, tenants) for service in SERVICES},
        ENSURE: ensure_rights(),
        OPERATOR: operator_rights(),
    }


def down(kind: subjects.DownlinkKind, district: str = subjects.ANY) -> str:
    """Return the subjects on which devices hear one kind."""
    return f"{subjects.DEVICE_ROOT}.{subjects.DEVICE_VERSION}.{district}.*.down.{kind}"


def up(district: str = subjects.ANY) -> str:
    """Return the subjects on which devices speak, as core messages."""
    return f"{subjects.DEVICE_ROOT}.{subjects.DEVICE_VERSION}.{district}.*.up.>"


def _rights(
    user: str, publish: Iterable[str], subscribe: Iterable[str], *, denied: Iterable[str] = (), answers: int = 0
) -> Rights:
    heard = [f"{inbox_prefix(user)}.>", *subscribe]
    return Rights(
        tuple(dict.fromkeys(publish)),
        tuple(dict.fromkeys(heard)),
        publish_except=tuple(dict.fromkeys(denied)),
        answers_max=answers,
        answer_within_s=ANSWER_WITHIN_S if answers else 0.0,
    )


def _facts_about(noun: str) -> list[str]:
    """Return one subject for all facts about a noun: projections subscribe it so."""
    return list(dict.fromkeys(replace(f, verb=subjects.ANY).wildcard() for f in subjects.FACTS if f.noun == noun))


def _consumer(verb: str, durable: Durable) -> str:
    return f"{API}.CONSUMER.{verb}.{durable.stream}.{durable.name}"


def _declaring(durables: Iterable[Durable]) -> list[str]:
    return [_consumer(verb, durable) for durable in durables for verb in ("INFO", "DURABLE.CREATE")]
