"""Who may publish and hear what on the bus, written down from the design once more and sharing no code with the platform.

Subjects are dotted words, ``*`` stands for one word and ``>`` for the rest. ``Model`` answers three questions: may a principal
publish a subject, may it subscribe a pattern, and which accounts hear what an account publishes.
"""

from functools import cache
from typing import NamedTuple


class Principal(NamedTuple):
    """Somebody with credentials: a kind (device, service, integrator or a helper of the servers), a name, an account."""

    kind: str
    name: str
    account: str
    district: str = ""


def listed(text: str) -> list[str]:
    """Return the words of a line."""
    return text.split()


CORE, DOWNLINK, DEVICES, OTHER, AUDIT = "CORE", "DOWNLINK", "DEVICES-city", "DEVICES-elsewhere", "AUDIT"
TENANTS = {DEVICES: (listed("noord zuid"), ""), OTHER: (listed("haven kade"), "-elsewhere")}
"""By account of devices: the districts of its tenant, and what the names of the tenant's durables end in."""
MQTT = "$MQTT_msgs"
SERVICES = ("ingest", "device-registry", "timeseries", "actuation", "notification", "consent")
DOMAINS = listed("traffic light air noise water parking waste energy crowd health mobility")
FACTS = {
    "ingest": "observation.recorded observation.imported observation.quarantined response.recorded",
    "device-registry": "device.registered device.updated device.activated device.retired",
    "timeseries": "observation.quarantined",
    "actuation": "decision.recorded signal.predicted command.issued command.dispatched command.settled",
    "notification": "alert.raised alert.acknowledged alert.resolved",
    "consent": "consent.granted consent.withdrawn consent.objected consent.erased",
}
CONFIRMS = {"device-registry": "device", "consent": "consent"}
FOLLOWS = {"ingest": "device consent", "timeseries": "device consent", "actuation": "device", "notification": "device"}
STREAMS = listed(
    "OBSERVATIONS IMPORTS PERSONAL RESPONSES QUARANTINE DEVICES CONSENT COMMANDS DECISIONS ALERTS AUDIT DEADLETTERS"
    " KV_maasloop-leases KV_maasloop-revocations"
)
OWNED = listed("OBSERVATIONS IMPORTS PERSONAL QUARANTINE RESPONSES")
DURABLES = {
    "ingest": {
        MQTT: listed("ingest-mqtt ingest-mqtt-space ingest-responses ingest-chirpstack"),
        "QUARANTINE": ["ingest-quarantine"],
    },
    "timeseries": {name: [f"timeseries-{name.lower()}"] for name in OWNED[:4]},
    "actuation": {"OBSERVATIONS": ["actuation-street"], "RESPONSES": ["actuation-responses"]},
    "notification": {"OBSERVATIONS": ["notification-observations"], "COMMANDS": ["notification-commands"]},
}
PULLS = ("$JS.API.CONSUMER.MSG.NEXT.{0}.{1}", "$JS.ACK.{0}.{1}.>", "$JS.API.CONSUMER.INFO.{0}.{1}")
ASKS = [[f"$JS.devices{end}.API.STREAM.{verb}.{MQTT}" for verb in ("INFO", "PURGE")] for _, end in TENANTS.values()]
"""What ingest asks of a tenant's account under another name, besides ``CONSUMER.INFO`` of its durables there."""
READS = listed(
    "$JS.API.STREAM.INFO.{0} $JS.API.STREAM.MSG.GET.{0} $JS.API.STREAM.PURGE.{0} $JS.API.CONSUMER.CREATE.{0}"
    " $JS.API.CONSUMER.INFO.{0}.* $JS.API.CONSUMER.MSG.NEXT.{0}.* $JS.API.CONSUMER.DELETE.{0}.* $JS.ACK.{0}.*.>"
)
HELPERS = {
    "revoker": (["$SYS.REQ.SERVER.*.KICK", "$SYS.REQ.SERVER.*.CONNZ"], []),
    "accounts": (["$SYS.REQ.CLAIMS.UPDATE"], []),
    "callout": ([], ["$SYS.REQ.USER.AUTH"]),
    "witness": ([], ["maasloop.audit.checkpointed.v1.*.*"]),
    "actuation-downlink": (["dev.v1.*.*.down.commands"], []),
}


@cache
def words(subject: str) -> tuple[str, ...]:
    """Return the words of a subject."""
    return tuple(subject.split("."))


@cache
def covers(pattern: str, subject: str) -> bool:
    """Tell whether everything that ``subject`` stands for (itself, where it has no wildcard) lies within ``pattern``.

    The server takes a last ``>`` for one word where the right ends in ``*``; all facts have six words, so that nothing
    longer is there to be heard (nobody may publish it).
    """
    left, right = words(pattern), words(subject)
    if right[-1] == ">" and left[-1] == "*" and len(left) == len(right):
        return covers(".".join(left[:-1]), ".".join(right[:-1]))
    for place, word in enumerate(left):
        if word == ">":
            return len(right) > place
        if place >= len(right) or right[place] == ">" or (word not in {"*", right[place]}):
            return False
    return len(left) == len(right)


@cache
def names(pattern: str, subject: str) -> bool:
    """Tell whether a pattern stands for a subject; a wildcard in the subject of a message is a word like any other."""
    left, right = words(pattern), words(subject)
    rest = left[-1] == ">"
    fits = len(right) >= len(left) if rest else len(right) == len(left)
    return fits and all(mine in {"*", word} for mine, word in zip(left[: -1 if rest else None], right, strict=False))


def open_facts(keys: list[str]) -> list[str]:
    """Return what integrators hear: readings with one of the keys, and alerts."""
    readings = [f"maasloop.observation.recorded.v1.*.{key}" for key in keys]
    return readings + [f"maasloop.alert.{verb}.v1.*.*" for verb in ("raised", "acknowledged", "resolved")]


@cache
def crossings() -> list[tuple[str, str, str]]:
    """Return (from account, to account, pattern) of everything that leaves an account."""
    across = [(CORE, AUDIT, "maasloop.audit.checkpointed.v1.*.*")]
    for (account, (districts, end)), asks in zip(TENANTS.items(), ASKS, strict=True):
        for district in districts:
            across.append((account, CORE, f"dev.v1.{district}.*.up.>"))
            across.append((CORE, account, f"dev.v1.{district}.*.down.receipts"))
            across.append((DOWNLINK, account, f"dev.v1.{district}.*.down.commands"))
        across += [(CORE, account, one) for one in (*behind_door(end), *asks)]
    return across + [(CORE, f"INTEGRATOR-{name}", one) for name in ("tram", "weather") for one in open_facts(DOMAINS)]


@cache
def rights(who: Principal) -> tuple[list[str], list[str], list[str]]:
    """Return what a principal may publish, must not publish nevertheless, and may subscribe."""
    inbox = f"_INBOX_{who.name}.>"
    if who.kind == "device":
        own = f"dev.v1.{who.district}.{who.name}"
        return [f"{own}.up.>"], [], [f"{own}.down.>", f"_INBOX.{who.district}.{who.name}.>"]
    if who.kind == "integrator":
        return [], [], [*open_facts(["*"]), f"_INBOX_integrator-{who.name}.>"]
    if who.kind == "service":
        publish, denied, subscribe = service(who.name)
        return publish, denied, [*subscribe, inbox]
    if who.name == "operator":
        looks = [
            f"$JS.API.{verb}.{name}" for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET") for name in STREAMS
        ]
        return ["maasloop.rpc.ingest.record", *looks], [], ["maasloop.>", "dev.v1.>", inbox]
    if who.name.startswith("ensure"):
        core = who.name == "ensure"
        streams, verbs = (STREAMS, ("INFO", "CREATE", "UPDATE")) if core else ([MQTT], ("INFO", "UPDATE"))
        end = "" if core else TENANTS[who.account][1]
        made = [f"$JS.API.STREAM.{verb}.{name}" for name in streams for verb in verbs]
        for stream, durable in [(s, d) for own in DURABLES.values() for s, names in own.items() for d in names]:
            if core != (stream == MQTT):
                made += [f"$JS.API.CONSUMER.{verb}.{stream}.{durable}{end}" for verb in ("INFO", "DURABLE.CREATE")]
        return made, [], [inbox]
    publish, subscribe = HELPERS[who.name]
    return publish, [], [*subscribe, inbox]


def pulling(name: str, stream: str, end: str = "") -> list[str]:
    """Return what a service publishes to read its durables of a stream; one that only keeps space is never read."""
    forms = {durable: PULLS[2:] if durable.endswith("-space") else PULLS for durable in DURABLES[name][stream]}
    return [form.format(stream, f"{durable}{end}") for durable, its in forms.items() for form in its]


def behind_door(end: str) -> list[str]:
    """Return the same of ingest for the stream behind the MQTT listener of a tenant."""
    made = pulling("ingest", MQTT, end)
    return [one.replace("$JS.API.CONSUMER.INFO", f"$JS.devices{end}.API.CONSUMER.INFO") for one in made]


def service(name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the rights of one of the six services."""
    publish = [f"maasloop.{fact}.v1.*.*" for fact in FACTS[name].split()]
    publish += [f"maasloop.audit.checkpointed.v1.*.{name}", f"maasloop.deadletter.{name}.*"]
    publish += [f"maasloop.{CONFIRMS[name]}.confirmed.v1.*.{name}"] if name in CONFIRMS else []
    publish.append("$JS.API.STREAM.MSG.GET.KV_maasloop-revocations")
    denied: list[str] = []
    subscribe = [f"maasloop.{noun}.*.v1.*.*" for noun in FOLLOWS.get(name, "").split()]
    for stream in set(DURABLES.get(name, {})) - {MQTT}:
        publish += pulling(name, stream)
    if name == "ingest":
        publish += [
            one for (_, end), asks in zip(TENANTS.values(), ASKS, strict=True) for one in (*behind_door(end), *asks)
        ]
        publish.append("dev.v1.*.*.down.receipts")
        publish += [f"$JS.API.STREAM.INFO.{stream}" for stream in ("OBSERVATIONS", "IMPORTS", "PERSONAL")]
        subscribe += ["dev.v1.*.*.up.>", "maasloop.rpc.ingest.record"]
    if name == "actuation":
        publish.append("maasloop.rpc.ingest.record")
    if name == "device-registry":
        publish.append("$KV.maasloop-revocations.>")
    if name == "timeseries":
        publish += [*(asks[0] for asks in ASKS), "$KV.maasloop-leases.timeseries.*"]
        publish.append("$JS.API.STREAM.MSG.GET.KV_maasloop-leases")
        publish += [form.format(stream) for stream in OWNED for form in READS]
        publish += [f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*" for stream in OWNED[:4]]
        foreign = [
            (s, d) for other in DURABLES if other != name for s, ds in DURABLES[other].items() for d in ds if s in OWNED
        ]
        taken = (*(f"$JS.API.CONSUMER.{verb}.{{0}}.{{1}}" for verb in ("DURABLE.CREATE", "DELETE")), *PULLS[:2])
        denied = [form.format(stream, durable) for stream, durable in foreign for form in taken]
    return publish, denied, subscribe


@cache
def may_publish(who: Principal, subject: str) -> bool:
    """Tell whether a publish is let through."""
    allowed, denied, _ = rights(who)
    return any(names(one, subject) for one in allowed) and not any(names(one, subject) for one in denied)


def may_subscribe(who: Principal, pattern: str) -> bool:
    """Tell whether a subscription is let through."""
    return any(covers(one, pattern) for one in rights(who)[2])


@cache
def heard_in(account: str, subject: str) -> set[str]:
    """Return the accounts in which a message that an account publishes is heard."""
    return {account} | {to for source, to, pattern in crossings() if source == account and names(pattern, subject)}
