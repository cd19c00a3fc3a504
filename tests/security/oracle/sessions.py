"""What outlives a connection or a right: retained messages, sessions with QoS 1, wills; each judged by what is heard."""

import json
import time
from contextlib import suppress
from itertools import product

from tests.security.oracle import model
from tests.security.oracle.judge import Verdict
from tests.security.oracle.model import Principal
from tests.security.oracle.town import Town, device_user, principals, user_name
from tests.security.oracle.wire import Closed, MqttWire, NatsWire

from maasloop.bus.city import BOTH, CityUser
from maasloop.identity.nats.claims import Rights, User

KINDS = ("down/commands", "down/receipts", "up/observations-json")
REPLAYED = 3
LOOK_S = 0.02
LOOKS, LOOKS_REFUSED = 500, 10
"""How often is looked for what comes by itself, where it must come and where it must not."""
WILLS = (
    "dev/v1/noord/lamp-1/up/x", "dev/v1/noord/lamp-2/up/x", "dev/v1/zuid/lamp-1/down/commands", "$SYS/REQ/SERVER/PING",
    "$MQTT/sub/x", "maasloop/command/issued/v1/noord/lamp-1",
)  # fmt: skip


class Sessions:
    """Stories about devices on one server."""

    def __init__(self, town: Town, verdict: Verdict, *, devices_max: int) -> None:
        """Count into a verdict; of every account the first so many devices take part."""
        self._town = town
        self._verdict = verdict
        everybody = [who for who in principals() if who.kind == "device"]
        accounts = [[who for who in everybody if who.account == account] for account in (model.DEVICES, model.OTHER)]
        self.devices = [who for account in accounts for who in account[:devices_max]]

    def run(self) -> None:
        """Run all."""
        self.retained()
        self.wills()
        self.delivered_for_others()
        for who in self.devices:
            self.replayed(who, strip=False)
            self.replayed(who, strip=True)

    def retained(self) -> None:
        """A retained message is heard by whom it is for, whenever he subscribes, and by nobody else."""
        topics = {
            f"dev/v1/{who.district}/{who.name}/{kind}"
            for who in self.devices
            for kind in KINDS
            if who.account == model.DEVICES
        }
        publisher = self._observer(model.DEVICES)
        for topic in topics:
            publisher.publish(topic, topic.encode(), qos=1, retain=True)
        publisher.heard()
        publisher.break_off()
        for who in self.devices:
            wire = self._connected(who)
            for topic in sorted(topics):
                for asked in (topic, topic.rpartition("/")[0] + "/+", topic.replace("noord", "+").replace("zuid", "+")):
                    granted, messages = wire.subscribe([asked])
                    messages += wire.heard()
                    wire.unsubscribe([asked])
                    self._compare(who, asked, granted[0], {payload.decode() for _, payload in messages}, topics)
            wire.break_off()

    def _compare(self, who: Principal, asked: str, granted: bool, heard: set[str], topics: set[str]) -> None:
        self._verdict.cases += 1
        pattern = asked.replace("/", ".").replace("+", "*")
        allowed = model.may_subscribe(who, pattern)
        reached = {one for one in topics if model.names(pattern, one.replace("/", "."))}
        expected = reached if allowed and who.account == model.DEVICES else set()
        if granted != allowed or heard != expected:
            sentence = (
                f"retained: {who.account}/{who.district}/{who.name} asks {asked}: {granted}, heard {heard ^ expected}"
            )
            self._verdict.differ(sentence, size=len(heard - expected))

    def wills(self) -> None:
        """A will is published like anything else: below the device's own prefix or not at all."""
        hearing = {account: self._observer(account) for account in (model.DEVICES, model.OTHER, model.CORE)}
        for wire in hearing.values():
            wire.subscribe(["#"])
        for who, topic in product(self.devices, WILLS):
            self._verdict.cases += 1
            payload = f"will of {user_name(who)} on {topic}".encode()
            # A server may refuse the connection or drop the will; what counts is who hears it.
            with suppress(Closed):
                wire = self._connected(who, will=(topic, payload))
                wire.heard()
                wire.break_off()
            self._settle(who)
            heard = {account for account, wire in hearing.items() if payload in {body for _, body in wire.heard()}}
            allowed = model.may_publish(who, topic.replace("/", "."))
            expected = model.heard_in(who.account, topic.replace("/", ".")) if allowed else set()
            if heard - expected or (allowed and not heard):
                sentence = f"will: {who.account}/{who.name} on {topic}: heard in {heard}, expected {expected}"
                self._verdict.differ(sentence, size=len(heard - expected))
        for wire in hearing.values():
            wire.break_off()

    def delivered_for_others(self) -> None:
        """Whoever may pull from a stream can name any subject for the answer; what devices obey is not among them.

        The server checks no reply subject, so that it delivers stored bytes on ``down.commands`` in the account of the
        stream. Commands cross from another account.
        """
        core, ingest = self._town.wire(f"observer-{model.CORE}"), self._town.wire("ingest")
        devices = self._town.wire(f"observer-{model.DEVICES}")
        devices.send(b"SUB > 1\r\n")
        devices.heard()
        stream = {"name": "QUARANTINE", "subjects": ["maasloop.observation.quarantined.v1.*.*"]}
        durable = {
            "stream_name": "QUARANTINE",
            "config": {"durable_name": "ingest-quarantine", "ack_policy": "explicit"},
        }
        core.send(b"SUB answers 1\r\n")
        for verb, body in (
            ("STREAM.CREATE.QUARANTINE", stream),
            ("CONSUMER.DURABLE.CREATE.QUARANTINE.ingest-quarantine", durable),
        ):
            asked = json.dumps(body).encode()
            core.send(b"PUB $JS.API.%s answers %d\r\n%s\r\n" % (verb.encode(), len(asked), asked))
            self._wait_for(core, b"created")
        fact = b"PUB maasloop.observation.quarantined.v1.noord.lamp-1 6\r\nforged\r\n"
        for kind, crosses in ((b"receipts", True), (b"commands", False)):
            ingest.send(fact)
            ingest.heard()
            target = b"dev.v1.noord.lamp-1.down." + kind
            ingest.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.QUARANTINE.ingest-quarantine %s 1\r\n1\r\n" % target)
            ingest.heard()
            heard = self._wait_for(devices, b"forged", tries=LOOKS if crosses else LOOKS_REFUSED)
            self._verdict.cases += 1
            if heard != crosses:
                self._verdict.differ(f"delivered for others: on {target.decode()} heard {heard}", size=heard)
        for wire in (core, ingest, devices):
            wire.close()

    @staticmethod
    def _wait_for(wire: NatsWire, wanted: bytes, *, tries: int = 500) -> bool:
        for _ in range(tries):
            if any(wanted in payload for _, payload in wire.heard().messages):
                return True
            time.sleep(LOOK_S)
        return False

    def replayed(self, who: Principal, *, strip: bool) -> None:
        """A session replays to a device that kept its right, and nothing to one that lost it (``strip``)."""
        topic = f"dev/v1/{who.district}/{who.name}/down/commands"
        wire = self._connected(who, clean=False)
        wire.subscribe([topic], qos=1)
        wire.heard()
        wire.break_off()
        publisher = self._observer(who.account)
        for number in range(REPLAYED):
            publisher.publish(topic, b"stored %d" % number, qos=1)
        publisher.heard()
        publisher.break_off()
        # The same person with other rights, as after a quarantine.
        stripped = User(Rights(("dev.v1.nowhere.>",), ("dev.v1.nowhere.>",)), connection_types=BOTH, bearer=True)
        if strip:
            self._town.city.write_user(CityUser(user_name(who), who.account, stripped))
        stored: set[bytes] = set()
        with suppress(Closed):
            wire = self._connected(who, clean=False)
            for _ in range(LOOKS_REFUSED if strip else LOOKS):
                stored |= {payload for _, payload in wire.heard() if payload.startswith(b"stored")}
                if len(stored) == REPLAYED:
                    break
                time.sleep(LOOK_S)
            wire.break_off()
        self._town.city.write_user(CityUser(user_name(who), who.account, device_user(who.district, who.name)))
        self._verdict.cases += REPLAYED
        if len(stored) != (0 if strip else REPLAYED):
            sentence = f"replay: {who.account}/{who.name} hears {stored}, right taken away: {strip}"
            self._verdict.differ(sentence, size=len(stored) if strip else 0)

    def _settle(self, who: Principal) -> None:
        """Return when the server has done with a broken connection: another one of the same name takes its place."""
        wire = self._connected(who)
        wire.heard()
        wire.break_off()

    def _observer(self, account: str) -> MqttWire:
        name = f"observer-{account}"
        address = ("127.0.0.1", self._town.server.ports.mqtt)
        return MqttWire(address, self._town.authority, client=name, token=self._town.token(name))

    def _connected(self, who: Principal, *, clean: bool = True, will: tuple[str, bytes] | None = None) -> MqttWire:
        address, name = ("127.0.0.1", self._town.server.ports.mqtt), user_name(who)
        token = self._town.token(name)
        return MqttWire(address, self._town.authority, client=name, token=token, clean=clean, will=will)
