"""Puts cases to the server and compares what it did with what the model allows."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import batched, islice
from random import Random

from tests.security.oracle import model
from tests.security.oracle.cases import QUEUES, concrete, mqtt_filter, subjects, topic, well_formed
from tests.security.oracle.model import Principal
from tests.security.oracle.town import OBSERVED, Town, principals, user_name
from tests.security.oracle.wire import MqttWire, NatsWire

PUBLISHES_AT_ONCE = 500
SUBSCRIPTIONS_AT_ONCE = 200
FILTERS_AT_ONCE = 64
PROBES = 48
EXAMPLES_MAX = 8


@dataclass(slots=True)
class Verdict:
    """What was compared."""

    cases: int = 0
    mismatches: int = 0
    across: int = 0
    """Bytes heard in an account that the model gives none."""
    refused: int = 0
    examples: list[str] = field(default_factory=list)

    def differ(self, sentence: str, *, size: int = 0) -> None:
        """Note a mismatch."""
        self.mismatches += 1
        self.across += size
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(sentence)


class Judge:
    """Asks one server everything."""

    def __init__(self, town: Town, seed: int) -> None:
        """Connect an observer of every account."""
        self.verdict = Verdict()
        self._town = town
        self._random = Random(seed)
        self._everybody = principals()
        self._mqtt = ("127.0.0.1", town.server.ports.mqtt)
        self._observers: dict[str, NatsWire] = {}
        for account in OBSERVED:
            wire = town.wire(f"observer-{account}")
            wire.send(b"SUB > 1\r\n")
            wire.heard()
            self._observers[account] = wire
        self._number = 0

    def nats(self, cases: int) -> None:
        """Half publishes and half subscriptions, of everybody alike."""
        each = max(2, cases // len(self._everybody))
        for who in self._everybody:
            wire = self._town.wire(user_name(who))
            made = subjects(who, self._everybody, self._random)
            for some in batched(islice(made, each // 2), PUBLISHES_AT_ONCE):
                self._publish(who, wire, some)
            wanted = (one for one in made if well_formed(one))
            for some in batched(islice(wanted, each // 2), SUBSCRIPTIONS_AT_ONCE):
                self._subscribe(who, wire, some)
            wire.close()

    def mqtt(self, cases: int) -> None:
        """The same of devices over MQTT, one publish of eight with QoS 1."""
        devices = [who for who in self._everybody if who.kind == "device"]
        each = max(2, cases // len(devices))
        for who in devices:
            made = (one for one in subjects(who, self._everybody, self._random) if len(one.encode()) == len(one))
            for some in batched(islice(made, each // 2), PUBLISHES_AT_ONCE):
                self._publish_mqtt(who, some)
            wanted = (one for one in made if well_formed(one) and not one.startswith("_INBOX"))
            for part in batched(islice(wanted, each // 2), FILTERS_AT_ONCE):
                self._subscribe_mqtt(who, part)

    def _numbers(self, count: int) -> range:
        first = self._number
        self._number += count
        return range(first, self._number)

    def _heard(self) -> dict[int, set[str]]:
        """Return by case the accounts in which it was heard."""
        found: dict[int, set[str]] = defaultdict(set)
        for account, wire in self._observers.items():
            for _, payload in wire.heard().messages:
                if payload.startswith(b"case "):
                    found[int(payload[5:])].add(account)
        return found

    def _publish(self, who: Principal, wire: NatsWire, some: tuple[str, ...]) -> None:
        numbers = self._numbers(len(some))
        lines = []
        for number, subject in zip(numbers, some, strict=True):
            payload = f"case {number}".encode()
            lines.append(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
        wire.send(b"".join(lines))
        refused = wire.heard().publishes_refused
        heard = self._heard()
        for number, subject in zip(numbers, some, strict=True):
            allowed = model.may_publish(who, subject)
            self._compare_publish(who, "NATS", subject, allowed=allowed, heard=heard.get(number, set()))
            if not allowed:
                self.verdict.refused += 1
                if subject not in refused:
                    self.verdict.differ(
                        f"NATS: {who.account}/{who.name} was not told that it may not publish {subject}"
                    )

    def _publish_mqtt(self, who: Principal, some: tuple[str, ...]) -> None:
        numbers = self._numbers(len(some))
        wire = self._connected(who)
        for number, subject in zip(numbers, some, strict=True):
            wire.publish(topic(subject), f"case {number}".encode(), qos=number % 8 == 0)
        wire.heard()
        wire.break_off()
        heard = self._heard()
        for number, subject in zip(numbers, some, strict=True):
            allowed = model.may_publish(who, subject)
            self.verdict.refused += not allowed
            self._compare_publish(who, "MQTT", subject, allowed=allowed, heard=heard.get(number, set()))

    def _compare_publish(self, who: Principal, protocol: str, subject: str, *, allowed: bool, heard: set[str]) -> None:
        self.verdict.cases += 1
        expected = model.heard_in(who.account, subject) & set(OBSERVED) if allowed else set()
        if heard != expected:
            size = len(heard - expected)
            sentence = (
                f"{protocol}: {who.account}/{who.name} publishes {subject}: heard in {heard}, expected {expected}"
            )
            self.verdict.differ(sentence, size=size)

    def _subscribe(self, who: Principal, wire: NatsWire, some: tuple[str, ...]) -> None:
        numbers = self._numbers(len(some))
        queues = [self._random.choice(QUEUES) for _ in some]
        # A member of a group of its own, so that each case hears everything by itself.
        lines = [
            f"SUB {pattern} {queue and f'{queue}-{number} '}{number}\r\n"
            for number, pattern, queue in zip(numbers, some, queues, strict=True)
        ]
        wire.send("".join(lines).encode())
        refused = set(wire.heard().subscriptions_refused)
        probes = self._probe(some)
        heard: dict[int, set[bytes]] = defaultdict(set)
        for number, payload in wire.heard().messages:
            heard[number].add(payload)
        wire.send("".join(f"UNSUB {number}\r\n" for number in numbers).encode())
        wire.heard()
        for number, pattern in zip(numbers, some, strict=True):
            self.verdict.cases += 1
            allowed = model.may_subscribe(who, pattern)
            self.verdict.refused += not allowed
            expected = self._expected(who, [pattern], probes) if allowed else set()
            got = {payload for payload in heard[number] if payload.startswith(b"probe ")}
            if got != expected or (pattern in refused) == allowed:
                sentence = (
                    f"NATS: {who.account}/{who.name} subscribes {pattern}: allowed {allowed}, heard {got ^ expected}"
                )
                self.verdict.differ(sentence, size=len(got - expected))

    def _subscribe_mqtt(self, who: Principal, some: tuple[str, ...]) -> None:
        wire = self._connected(who)
        filters = [mqtt_filter(pattern, self._random) for pattern in some]
        granted, _ = wire.subscribe(filters)
        probes = self._probe(some)
        got = {payload for _, payload in wire.heard() if payload.startswith(b"probe ")}
        wire.break_off()
        expected: set[bytes] = set()
        for pattern, answer in zip(some, granted, strict=True):
            self.verdict.cases += 1
            parts = [pattern, pattern.removesuffix(".>")] if pattern.endswith(".>") else [pattern]
            allowed = all(model.may_subscribe(who, part) for part in parts)
            self.verdict.refused += not allowed
            expected |= self._expected(who, parts, probes) if allowed else set()
            if answer != allowed:
                self.verdict.differ(
                    f"MQTT: {who.account}/{who.name} subscribes {pattern}: answer {answer}, model {allowed}"
                )
        if got != expected:
            self.verdict.differ(
                f"MQTT: {who.account}/{who.name} heard {got ^ expected} by {filters}", size=len(got - expected)
            )

    def _probe(self, patterns: tuple[str, ...]) -> dict[bytes, tuple[str, str]]:
        """Publish in every account what some of the patterns would hear; return (account, subject) by payload."""
        probes: dict[bytes, tuple[str, str]] = {}
        wanted = self._random.sample(patterns, min(PROBES, len(patterns)))
        for account, wire in self._observers.items():
            lines = []
            for pattern in wanted:
                subject = ".".join("x" if word in "*>" else word for word in concrete(pattern, self._random).split("."))
                # An answer of JetStream or of the server is no part of the question.
                if subject.startswith("$"):
                    continue
                payload = f"probe {len(probes)}".encode()
                probes[payload] = (account, subject)
                lines.append(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
            wire.send(b"".join(lines))
            wire.heard()
        self._heard()
        return probes

    @staticmethod
    def _expected(who: Principal, patterns: list[str], probes: dict[bytes, tuple[str, str]]) -> set[bytes]:
        return {
            payload
            for payload, (account, subject) in probes.items()
            if who.account in model.heard_in(account, subject) and any(model.names(one, subject) for one in patterns)
        }

    def _connected(self, who: Principal) -> MqttWire:
        name = user_name(who)
        return MqttWire(self._mqtt, self._town.authority, client=name, token=self._town.token(name))

    def close(self) -> None:
        """Hang up."""
        for wire in self._observers.values():
            wire.close()
