"""Cases by a seed: subjects that somebody may use, those of others, and what an attacker makes of both."""

from collections.abc import Iterator
from random import Random

from tests.security.oracle import model
from tests.security.oracle.model import Principal

KNOWN = ("noord", "zuid", "haven", "lamp-1", "lamp-2", "signal-1", "junction-7")
LAST = ("observations-json", "responses-pb", "commands", "receipts", "traffic", "personal", "air", *model.SERVICES)
HOSTILE = (
    ">", "*", "*.>", "$SYS.>", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.*.CONNECT",
    "$SYS.REQ.SERVER.x.KICK", "$SYS.REQ.ACCOUNT.x.CLAIMS.UPDATE", "$JS.API.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.CREATE.EVIL", "$JS.API.STREAM.DELETE.OBSERVATIONS", "$JS.API.STREAM.PURGE.COMMANDS", "$JS.>",
    "$JS.API.STREAM.RESTORE.OBSERVATIONS", "$JS.API.STREAM.SNAPSHOT.PERSONAL", "$JS.API.CONSUMER.CREATE.COMMANDS",
    "$JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs.ingest-mqtt", "$JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs.ingest-mqtt-elsewhere",
    "$JS.API.STREAM.PURGE.$MQTT_msgs", "$JS.devices-elsewhere.API.STREAM.PURGE.$MQTT_msgs", "$JS.ACK.>", "$KV.>",
    "$KV.maasloop-leases.timeseries.0", "$KV.maasloop-revocations.device.x", "$MQTT.>", "$MQTT.msgs.>",
    "$MQTT.msgs.dev.v1.noord.lamp-1.up.x", "$MQTT.sub.x", "$MQTT.deliver.pubrel.x", "$MQTT.rmsgs", "$MQTT.JSA.x.y.z",
    "_INBOX.>", "_INBOX.x.y", "_INBOX_ingest.x", "_INBOX_actuation.>", "_R_.x", "_GR_.x.y.z", "$G.x", "maasloop.>", "dev.>",
    "dev.v1.>", "dev.v1.*.*.up.>", "dev.v1.*.*.down.commands", "dev.v1.*.*.>", "maasloop.*.*.v1.*.*", "maasloop.rpc.ingest.record",
    "maasloop.observation.recorded.v1.*.personal", "maasloop.command.issued.v1.noord.lamp-1", "DEV.v1.noord.lamp-1.up.x",
)  # fmt: skip
REPLACED = ("*", ">", "$SYS", "x", "v2", "up", "down", "commands", "X", "lamp-11", "lamp-", "éé", *KNOWN)
QUEUES = ("", "", "", "workers", "ingest")


def subjects(who: Principal, everybody: list[Principal], random: Random) -> Iterator[str]:
    """Yield subjects and patterns for ever."""
    own = [pattern for part in model.rights(who) for pattern in part]
    others = [pattern for one in everybody for part in model.rights(one) for pattern in part]
    while True:
        kind = random.randrange(10)
        if kind == 0:
            yield random.choice(HOSTILE)
            continue
        pattern = random.choice(own if kind < 6 and own else others)
        yield mutated(concrete(pattern, random), random) if random.getrandbits(1) else concrete(pattern, random)


def concrete(pattern: str, random: Random) -> str:
    """Put words in place of wildcards, mostly."""
    made: list[str] = []
    for word in pattern.split("."):
        if word == "*":
            made.append(random.choice(KNOWN + LAST) if random.randrange(5) else "*")
        elif word == ">":
            made += random.choices(LAST, k=1 + random.randrange(2)) if random.randrange(4) else [">"]
        else:
            made.append(word)
    return ".".join(made)


def mutated(subject: str, random: Random) -> str:
    """Change one word, drop one, add one, or two of that."""
    words = subject.split(".")
    for _ in range(1 + random.randrange(2)):
        place = random.randrange(len(words))
        match random.randrange(4):
            case 0 if len(words) > 1:
                del words[place]
            case 1:
                words.insert(place, random.choice(REPLACED))
            case _:
                words[place] = random.choice(REPLACED)
    return ".".join(words)


def well_formed(pattern: str) -> bool:
    """Tell whether a subscription is one at all: ``>`` may come last only."""
    return ">" not in pattern.split(".")[:-1]


def topic(subject: str) -> str:
    """Return the MQTT topic or filter of a subject, with wildcards as MQTT writes them."""
    return "/".join(subject.split("."))


def mqtt_filter(pattern: str, random: Random) -> str:
    """Return a filter, in which a wildcard is written as MQTT does or as NATS does, which the server takes as well."""
    written = {"*": "+" if random.getrandbits(1) else "*", ">": "#" if random.getrandbits(1) else ">"}
    return "/".join(written.get(word, word) for word in pattern.split("."))
