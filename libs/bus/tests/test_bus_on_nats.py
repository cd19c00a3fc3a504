"""Publishing with proof, pulling without stalls, and dead letters, on a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg

from maasloop.bus import consume, subjects
from maasloop.bus.connection import Bus, connect
from maasloop.bus.ensure import ensure
from maasloop.bus.pull import Delivery, Pull
from maasloop.bus.refusals import refusal_headers
from maasloop.bus.streams import OBSERVATION_ROWS, SETTLEMENTS
from maasloop.core.errors import InvalidArgument, MaasloopError, ResourceExhausted, Unavailable
from maasloop.stack.servers.nats import NatsServer

AIR = subjects.OBSERVATION_RECORDED.subject("noord", "air")


@pytest.fixture(name="bus")
async def _bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test") as bus:
        await ensure(bus)
        yield bus


async def test_ensuring_twice_changes_nothing(nats_url: str, mqtt_address: tuple[str, int]) -> None:
    """The declared streams and durables, the MQTT door among them, are applied once."""
    host, port = mqtt_address
    async with connect(nats_url, name="test") as bus:
        first = await ensure(bus, mqtt_url=f"mqtt://{host}:{port}")
        second = await ensure(bus, mqtt_url=f"mqtt://{host}:{port}")

    assert "bounded stream $MQTT_msgs" in first
    assert second == []


async def test_the_same_message_id_is_stored_once(bus: Bus) -> None:
    """Publishing again with the same id gives the same place in the stream."""
    first = await bus.publish(AIR, b"a", {"Nats-Msg-Id": "1"})
    again = await bus.publish(AIR, b"a", {"Nats-Msg-Id": "1"})

    assert first == again


async def test_a_full_stream_refuses_with_a_reason(nats_url: str) -> None:
    """A custody stream at its limit refuses instead of forgetting, and says so."""
    async with connect(nats_url, name="test") as bus:
        await ensure(bus, scale=1e-5)
        publishes = [bus.publish(AIR, b"x" * 1000, {"Nats-Msg-Id": str(number)}) for number in range(100)]
        with pytest.raises(ResourceExhausted) as refusal:
            await asyncio.gather(*publishes)

    assert refusal.value.reason == "STREAM_FULL"


async def test_a_message_published_after_an_idle_pull_arrives(bus: Bus) -> None:
    """A pull that ran empty still receives what comes later, ten times of ten."""
    async with Pull(bus, OBSERVATION_ROWS, outstanding_max=10) as pull:
        for number in range(10):
            assert await pull.take(10, wait_s=0.02) == []
            await bus.publish(AIR, b"x", {"Nats-Msg-Id": f"late-{number}"})
            (delivery,) = await pull.take(10, wait_s=20.0)
            await delivery.ack()

            assert number + 1 == delivery.stream_sequence


async def test_order_and_bound_of_a_long_pull(bus: Bus) -> None:
    """Many messages come in stream order, and no more than asked for lie in memory."""
    for number in range(300):
        await bus.publish(AIR, b"x", {"Nats-Msg-Id": f"many-{number}"})
    seen: list[int] = []
    async with Pull(bus, OBSERVATION_ROWS, outstanding_max=32) as pull:
        while len(seen) < 300:
            taken = await pull.take(8)
            seen += [delivery.stream_sequence for delivery in taken]
            assert pull.waiting <= 32
            for delivery in taken:
                await delivery.ack()

    assert list(range(1, 301)) == seen


async def test_bytes_in_memory_are_bounded(bus: Bus) -> None:
    """However many messages are asked for, no more bytes lie in memory than allowed, and all of them come."""
    for number in range(100):
        await bus.publish(AIR, bytes(10_000), {"Nats-Msg-Id": f"large-{number}"})
    seen: list[int] = []
    async with Pull(bus, OBSERVATION_ROWS, outstanding_max=1_000, bytes_max=100_000) as pull:
        while len(seen) < 100:
            taken = await pull.take(2, wait_s=5.0)
            assert taken
            seen += [delivery.stream_sequence for delivery in taken]
            assert pull.waiting <= 10

    assert seen == list(range(1, 101))


async def test_a_killed_server_loses_no_confirmed_message(nats_process: NatsServer) -> None:
    """What was confirmed before the server was killed is pulled after its restart, and publishing goes on."""
    async with connect(nats_process.url, name="test") as bus:
        await ensure(bus)
        async with Pull(bus, OBSERVATION_ROWS) as pull:
            await bus.publish(AIR, b"before", {"Nats-Msg-Id": "before"})
            nats_process.kill9()
            nats_process.start()
            await bus.publish(AIR, b"after", {"Nats-Msg-Id": "after"})
            bodies: list[bytes] = []
            while len(bodies) < 2:
                taken = await pull.take(10)
                bodies += [delivery.body for delivery in taken]
                for delivery in taken:
                    await delivery.ack_proven()

    assert bodies == [b"before", b"after"]


async def test_outcomes_of_a_handler(bus: Bus) -> None:
    """What succeeds is acknowledged, what is retryable comes again, the rest is a dead letter with its reason."""
    stop = asyncio.Event()
    seen: list[tuple[bytes, int]] = []

    async def handle(delivery: Delivery) -> None:
        seen.append((delivery.body, delivery.attempt))
        if delivery.body == b"poison":
            raise InvalidArgument("PAYLOAD_UNDECODABLE", "not a response")
        if delivery.body == b"later" and delivery.attempt == 1:
            raise Unavailable("NEIGHBOUR_UNAVAILABLE", "database away", retry_after_s=0.01)
        if delivery.body == b"later":
            stop.set()

    dead: list[dict[str, str]] = []

    async def hear_dead(message: object) -> None:
        dead.append(dict(getattr(message, "headers", {})))

    await bus.listen(subjects.DEAD_LETTERS, hear_dead)
    for body in (b"good", b"poison", b"later"):
        await bus.publish(subjects.RESPONSE_RECORDED.subject("noord", "lamp"), body, {"Nats-Msg-Id": body.decode()})
    await consume.consume(bus, SETTLEMENTS, handle, stop=stop)

    assert seen == [(b"good", 1), (b"poison", 1), (b"later", 1), (b"later", 2)]
    assert [headers["maasloop-reason"] for headers in dead] == ["PAYLOAD_UNDECODABLE"]


async def test_a_consumer_that_buries_everything_stops(bus: Bus) -> None:
    """After a hundred dead letters in a row the consumer gives up itself, not the stream."""

    async def handle(_: Delivery) -> None:
        message = "a fault of the deployment"
        raise RuntimeError(message)

    for number in range(consume.DEAD_LETTERS_IN_A_ROW_MAX + 5):
        await bus.publish(subjects.RESPONSE_RECORDED.subject("noord", "lamp"), b"x", {"Nats-Msg-Id": f"bury-{number}"})
    with pytest.raises(consume.TooManyDeadLetters):
        await consume.consume(bus, SETTLEMENTS, handle, stop=asyncio.Event())


async def test_a_full_stream_of_dead_letters_stops_nobody(bus: Bus) -> None:
    """A message whose dead letter finds no room stays in custody, and those behind it are handled."""
    stop = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.body == b"poison":
            raise InvalidArgument("PAYLOAD_UNDECODABLE", "not a response")
        stop.set()

    config = (await bus.api("STREAM.INFO.DEADLETTERS"))["config"]
    assert "error" not in await bus.api("STREAM.UPDATE.DEADLETTERS", {**config, "max_bytes": 1})
    for body in (b"poison", b"good"):
        await bus.publish(subjects.RESPONSE_RECORDED.subject("noord", "lamp"), body, {"Nats-Msg-Id": body.decode()})
    async with asyncio.timeout(50):
        await consume.consume(bus, SETTLEMENTS, handle, stop=stop)
    await bus.check()

    info = await bus.api(f"CONSUMER.INFO.{SETTLEMENTS.stream}.{SETTLEMENTS.name}")
    assert info["num_ack_pending"] == 1


async def test_a_pull_waits_for_a_durable_that_does_not_exist_yet(nats_url: str) -> None:
    """It asks now and then instead of all the time, and takes messages as soon as there is one."""
    async with connect(nats_url, name="test") as bus, Pull(bus, OBSERVATION_ROWS) as pull:
        before = bus.client.stats["out_msgs"]
        assert await pull.take(1, wait_s=1.0) == []
        asked = bus.client.stats["out_msgs"] - before
        await ensure(bus)
        await bus.publish(AIR, b"x", {"Nats-Msg-Id": "first"})

        assert [delivery.body for delivery in await pull.take(1, wait_s=5.0)] == [b"x"]
        assert 1 <= asked <= 4


async def test_what_a_listener_does_not_want_is_dropped_unread(bus: Bus) -> None:
    """A listener hears messages without the mark, and other listeners of the same link hear all of them."""
    chosen: list[bytes] = []
    everything: list[bytes] = []
    heard = asyncio.Event()

    async def choose(message: Msg) -> None:
        chosen.append(message.data)

    async def note(message: Msg) -> None:
        everything.append(message.data)
        if message.data == b"last":
            heard.set()

    await bus.listen("test.marked", choose, unwanted=b"\r\nNmqtt-Pub:1")
    await bus.listen("test.marked", note)
    await bus.tell("test.marked", b"first", {"Nmqtt-Pub": "0"})
    # As nats-server writes it, without a space.
    header = b"NATS/1.0\r\nNmqtt-Pub:1\r\n\r\n"
    await bus.client._send_command(
        b"HPUB test.marked %d %d\r\n%s\r\n" % (len(header), len(header) + 6, header + b"second")
    )
    await bus.tell("test.marked", b"last")
    async with asyncio.timeout(50):
        await heard.wait()
    await bus.check()

    assert everything == [b"first", b"second", b"last"]
    assert chosen == [b"first", b"last"]


async def test_one_body_goes_to_many_subjects_in_order(bus: Bus) -> None:
    """What is written past nats-py arrives as what it writes itself; no subjects are no message."""
    heard: list[tuple[str, bytes]] = []
    whole = asyncio.Event()

    async def note(message: Msg) -> None:
        heard.append((message.subject, message.data))
        if len(heard) == 3:
            whole.set()

    await bus.listen("test.many.*", note)
    await bus.check()
    await bus.tell_many([], b"to nobody")
    await bus.tell_many((f"test.many.{number}" for number in range(3)), b"+ACK\r\n")
    async with asyncio.timeout(50):
        await whole.wait()

    assert heard == [(f"test.many.{number}", b"+ACK\r\n") for number in range(3)]


async def test_an_answer_that_refuses_is_raised_as_what_the_caller_must_do(bus: Bus) -> None:
    """A refusal with a time is to be sent again after it, one without never; an answer without a reason is the answer."""
    answers = {
        b"later": Unavailable("NEIGHBOUR_UNAVAILABLE", "the registry is not heard yet", retry_after_s=2.5),
        b"never": InvalidArgument("PAYLOAD_UNDECODABLE", "not a request"),
        b"broken": MaasloopError("INTERNAL", "internal error"),
    }

    async def answer(message: Msg) -> None:
        error = answers.get(message.data)
        if error is None:
            await bus.tell(message.reply, b"yes")
        else:
            await bus.tell(message.reply, error.message.encode(), refusal_headers(error))

    await bus.listen("test.asked", answer)

    assert await bus.ask("test.asked", b"now", timeout_s=5) == b"yes"
    with pytest.raises(Unavailable, match="not heard yet") as later:
        await bus.ask("test.asked", b"later", timeout_s=5)
    assert (later.value.reason, later.value.retry_after_s) == ("NEIGHBOUR_UNAVAILABLE", 2.5)
    with pytest.raises(InvalidArgument, match="not a request"):
        await bus.ask("test.asked", b"never", timeout_s=5)
    with pytest.raises(MaasloopError, match="internal error") as broken:
        await bus.ask("test.asked", b"broken", timeout_s=5)
    assert type(broken.value) is MaasloopError
