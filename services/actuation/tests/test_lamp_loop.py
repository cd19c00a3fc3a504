"""The loop of a lamp over real NATS and TimescaleDB: presence, command, device, proof; and what else may become of it."""

# ruff: noqa: ANN401 - the fixtures' classes live in conftest, which cannot be imported by name

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from maasloop.api.command.v1.command_pb2 import Command, LightLevel, LocalControl, Setpoint
from maasloop.api.command.v1.command_service_pb2 import (
    CancelCommandRequest,
    EndOverrideRequest,
    IssueCommandRequest,
    ListCommandsRequest,
    ListOverridesRequest,
    Override,
    ReleaseDistrictRequest,
    SetOverrideRequest,
    WatchCommandsRequest,
)
from maasloop.api.command.v1.policy_service_pb2 import GetShadowReportRequest, Policy, UpdatePolicyRequest
from maasloop.api.observation.v1.events_pb2 import DeviceResponse
from maasloop.rpc.times import timestamp_from_us

NOORD = "districts/noord"


def _power_w(level_percent: float) -> float:
    return 2.0 + 98.0 * level_percent / 100.0


def _obedient(world: Any, now_us: Callable[[], int]) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """Return a device that does what it is told, and whose meter shows it."""

    async def obey(command: dict[str, Any]) -> None:
        level = command["setpoint"].get("lightLevel", {"levelPercent": 80.0})["levelPercent"]
        await world.respond(command, DeviceResponse.ANSWER_ACKNOWLEDGED)
        await world.report([(command["device"], "power", _power_w(level), now_us())], domain="energy")

    return obey


async def test_presence_lights_a_lamp_until_it_is_verified(world: Any, now_us: Callable[[], int]) -> None:
    """A presence reading becomes a command at the lamp, and the lamp's power meter verifies it."""
    await world.make_policy()
    world.answer = _obedient(world, now_us)
    await world.report([("lamp-1", "presence", 1.0, now_us())])
    await world.until(lambda: world.received)

    command = world.received[0]
    assert command["setpoint"] == {"lightLevel": {"levelPercent": 80.0, "rampS": 0.0}}
    found = await world.until_state(command["commandId"], Command.STATE_VERIFIED)
    assert found.reason == "EFFECT_OBSERVED"
    assert found.issuer == "policies/follow"
    assert found.cause.startswith("lamp-1/presence@")
    await world.until(lambda: "settled" in world.verbs())
    assert world.verbs() == ["issued", "dispatched", "settled"]


async def test_a_group_follows_its_sensor_to_the_floor(world: Any, now_us: Callable[[], int]) -> None:
    """All lamps of a street follow its sensor, and a policy that asks for less than the floor gets the floor."""
    await world.make_policy(scope=Policy.SCOPE_GROUP, off_level_percent=0.0)
    await world.report([("sensor-1", "presence", 0.0, now_us())])
    await world.until(lambda: len(world.known) == 2)

    assert sorted(command["device"] for command in world.received) == ["lamp-1", "lamp-2"]
    assert {command["setpoint"]["lightLevel"]["levelPercent"] for command in world.received} == {20.0}
    found = await world.until_state(world.received[0]["commandId"], Command.STATE_DISPATCHED)
    assert "floor" in found.detail


async def test_an_old_reading_causes_nothing(world: Any, now_us: Callable[[], int]) -> None:
    """A reading more than ten seconds behind the clock updates what is known and sends no command."""
    await world.make_policy()
    await world.report([("lamp-1", "presence", 1.0, now_us() - 11_000_000)])
    await world.report([("lamp-2", "presence", 1.0, now_us())])
    await world.until(lambda: world.received)

    assert {command["device"] for command in world.received} == {"lamp-2"}


async def test_a_refusing_device_says_why(world: Any) -> None:
    """A command that the device refuses is FAILED with the device's own words."""

    async def refuse(command: dict[str, Any]) -> None:
        await world.respond(command, DeviceResponse.ANSWER_REFUSED, "DRIVER_FAULT")

    world.answer = refuse
    command = await world.issue("lamp-1", 50.0)
    found = await world.until_state(command.name, Command.STATE_FAILED)

    assert found.reason == "DEVICE_REFUSED"
    assert "DRIVER_FAULT" in found.detail


async def test_the_kernel_refuses_darkness_and_journals_it(world: Any, servers: Any) -> None:
    """A person who switches a lamp off gets a command in state REFUSED; nothing is sent, and the journal says why."""
    command = await world.issue("lamp-1", 0.0)

    assert command.state == Command.STATE_REFUSED
    assert command.reason == "BELOW_FLOOR"
    assert world.received == []
    async with await psycopg.AsyncConnection.connect(servers.dsn) as connection:
        cursor = await connection.execute("SELECT entry, target, reason FROM journal")
        rows = await cursor.fetchall()
    assert rows == [("command_refused", "lamp-1", "BELOW_FLOOR")]
    await world.until(lambda: world.verbs() == ["issued", "settled"])


async def test_a_setpoint_that_a_device_does_not_understand_is_refused(world: Any) -> None:
    """A sensor has no actuator: the command is REFUSED, an unknown device is no device at all."""
    command = await world.issue("sensor-1", 50.0)
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await world.issue("lamp-9", 50.0)

    assert command.reason == "CAPABILITY_MISSING"
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_the_same_request_gives_the_same_command(world: Any) -> None:
    """An idempotency key used again returns the command; used for something else it is refused."""
    request = IssueCommandRequest(
        parent=NOORD,
        command=Command(device="lamp-1", setpoint=Setpoint(light_level=LightLevel(level_percent=50.0))),
        request_id=str(uuid4()),
    )
    first = await world.commands.IssueCommand(request)
    second = await world.commands.IssueCommand(request)
    for device, level in (("lamp-1", 60.0), ("lamp-2", 50.0)):
        request.command.device = device
        request.command.setpoint.light_level.level_percent = level
        with pytest.raises(grpc.aio.AioRpcError) as reused:
            await world.commands.IssueCommand(request)
        assert reused.value.code() == grpc.StatusCode.FAILED_PRECONDITION

    assert first.name == second.name
    await world.until(lambda: world.known)
    assert len(world.known) == 1


async def test_the_same_request_at_the_same_time_gives_one_command(world: Any) -> None:
    """Two calls with one idempotency key that overtake each other get the same command, which is sent once."""
    request = IssueCommandRequest(
        parent=NOORD,
        command=Command(device="lamp-1", setpoint=Setpoint(light_level=LightLevel(level_percent=50.0))),
        request_id=str(uuid4()),
    )
    found = await asyncio.gather(*(world.commands.IssueCommand(request) for _ in range(5)))

    assert len({one.name for one in found}) == 1
    await world.until(lambda: world.known)
    assert len(world.known) == 1


async def test_a_silent_device_is_asked_again_until_the_command_expires(world: Any, now_us: Callable[[], int]) -> None:
    """A device that never answers hears the same id again, and the command ends at its expiry."""
    expire = Timestamp()
    expire.CopyFrom(timestamp_from_us(now_us() + 4_000_000))
    command = await world.issue("lamp-1", 50.0, expire_time=expire)
    found = await world.until_state(command.name, Command.STATE_EXPIRED)

    assert found.reason == "COMMAND_EXPIRED"
    assert len(world.received) >= 2
    assert len(world.known) == 1


async def test_a_newer_command_supersedes_an_open_one(world: Any) -> None:
    """Among equals the newer one wins, and the older one says so."""
    first = await world.issue("lamp-1", 50.0)
    second = await world.issue("lamp-1", 60.0)
    found = await world.until_state(first.name, Command.STATE_SUPERSEDED)
    cancelled = await world.commands.CancelCommand(CancelCommandRequest(name=second.name))

    assert found.reason == "COMMAND_SUPERSEDED"
    assert cancelled.reason == "COMMAND_CANCELLED"
    with pytest.raises(grpc.aio.AioRpcError) as again:
        await world.commands.CancelCommand(CancelCommandRequest(name=second.name))
    assert again.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_an_override_outranks_policies_until_it_ends(world: Any, now_us: Callable[[], int]) -> None:
    """While a person holds a lamp the policy sends nothing; at the end the policy's wish is granted."""
    await world.make_policy()
    world.answer = _obedient(world, now_us)
    override = await world.commands.SetOverride(
        SetOverrideRequest(
            parent=NOORD,
            override=Override(
                device_group="kade",
                setpoint=Setpoint(light_level=LightLevel(level_percent=100.0)),
                end_time=timestamp_from_us(now_us() + 600_000_000),
                justification="Market in the street",
            ),
            request_id=str(uuid4()),
        )
    )
    await world.until(lambda: len(world.known) == 2)
    await world.report([("lamp-1", "presence", 1.0, now_us())])
    await world.report([("lamp-2", "power", _power_w(100), now_us())], domain="energy")
    await world.until_state(world.received[1]["commandId"], Command.STATE_VERIFIED)
    held = list(world.received)
    listed = await world.commands.ListOverrides(ListOverridesRequest(parent=NOORD))
    ended = await world.commands.EndOverride(EndOverrideRequest(name=override.name))
    await world.until(lambda: len(world.known) == 4)

    assert {command["setpoint"]["lightLevel"]["levelPercent"] for command in held} == {100.0}
    assert [one.name for one in listed.overrides] == [override.name]
    assert ended.HasField("ended_time")
    after = {command["device"]: command["setpoint"] for command in world.received[len(held) :]}
    assert after["lamp-1"]["lightLevel"]["levelPercent"] == 80.0
    assert after["lamp-2"] == {"localControl": {}}


async def test_a_released_district_is_left_alone_until_it_resumes(world: Any, now_us: Callable[[], int]) -> None:
    """A release supersedes commands, sends local control, and refuses what comes until somebody resumes."""
    await world.make_policy()
    command = await world.issue("lamp-1", 50.0)
    released = await world.commands.ReleaseDistrict(ReleaseDistrictRequest(name=NOORD, justification="Storm"))
    await world.until(lambda: len(world.known) == 2)
    refused = await world.issue("lamp-1", 60.0)
    await world.commands.ReleaseDistrict(ReleaseDistrictRequest(name=NOORD, resume=True, justification="Over"))
    accepted = await world.issue("lamp-1", 60.0)

    assert released.released
    assert released.superseded_count == 1
    assert (await world.until_state(command.name, Command.STATE_SUPERSEDED)).reason == "LOCAL_CONTROL"
    assert world.received[1]["setpoint"] == {"localControl": {}}
    assert refused.reason == "LOCAL_CONTROL"
    assert accepted.state == Command.STATE_DISPATCHED


async def test_local_control_is_verified_by_the_class_level(world: Any, now_us: Callable[[], int]) -> None:
    """A lamp that is let go returns to its class level, which its meter shows."""
    world.answer = _obedient(world, now_us)
    command = await world.commands.IssueCommand(
        IssueCommandRequest(
            parent=NOORD,
            command=Command(device="lamp-1", setpoint=Setpoint(local_control=LocalControl())),
            request_id=str(uuid4()),
        )
    )

    assert (await world.until_state(command.name, Command.STATE_VERIFIED)).reason == "EFFECT_OBSERVED"


async def test_a_restart_restores_what_is_in_force(make_world: Any, servers: Any, now_us: Callable[[], int]) -> None:
    """Open commands survive a restart with their leases: they are asked again, outrank policies, and are verified."""
    async with make_world() as world:
        await world.make_policy()
        command = await world.issue("lamp-1", 50.0)
    async with make_world() as world:
        await world.until(lambda: world.received)
        await world.report([("lamp-1", "presence", 1.0, now_us())])
        await world.report([("lamp-2", "presence", 1.0, now_us())])
        await world.until(lambda: len(world.known) == 2)
        await world.report([("lamp-1", "power", _power_w(50), now_us())], domain="energy")
        found = await world.until_state(command.name, Command.STATE_VERIFIED)
        devices = {one["commandId"]: one["device"] for one in world.received}

    assert found.reason == "EFFECT_OBSERVED"
    assert sorted(devices.values()) == ["lamp-1", "lamp-2"]
    assert command.name.endswith(next(name for name, device in devices.items() if device == "lamp-1"))


async def test_commands_are_listed_in_pages_and_watched(world: Any) -> None:
    """Pages run from the newest to the oldest, and a watch tells every change from where it is resumed."""
    watch = world.commands.WatchCommands(WatchCommandsRequest(parent=NOORD))
    begin = await watch.read()
    names = [(await world.issue("lamp-1", level)).name for level in (40.0, 50.0, 60.0)]
    first = await world.commands.ListCommands(ListCommandsRequest(parent=NOORD, page_size=2))
    second = await world.commands.ListCommands(
        ListCommandsRequest(parent=NOORD, page_size=2, page_token=first.next_page_token)
    )
    seen = [(await watch.read()).command for _ in range(3)]
    resumed = world.commands.WatchCommands(WatchCommandsRequest(parent=NOORD, resume_token=begin.resume_token))
    await resumed.read()
    replayed = (await resumed.read()).command
    watch.cancel()
    resumed.cancel()

    assert [one.name for one in (*first.commands, *second.commands)] == names[::-1]
    assert second.next_page_token == ""
    assert seen[0].name == names[0]
    assert replayed.name in names


async def test_a_policy_in_shadow_mode_tells_what_it_would_do(world: Any, now_us: Callable[[], int]) -> None:
    """A policy begins in shadow mode: it sends nothing, and its report counts switches, commands and refusals."""
    policy = await world.make_policy(active=False)
    await world.issue("lamp-1", 90.0)
    await world.report([("lamp-1", "presence", 1.0, now_us())])
    await world.report([("lamp-1", "presence", 0.0, now_us())])

    async def report() -> Any:
        return await world.policies.GetShadowReport(GetShadowReportRequest(name=policy.name))

    found = await report()
    while found.switched_off_count == 0:
        found = await report()
    assert (found.switched_on_count, found.switched_off_count) == (1, 1)
    assert found.refusals_by_reason == {"RATE_LIMITED": 2}
    assert len(world.known) == 1


async def test_a_policy_that_cannot_be_evaluated_is_refused(world: Any) -> None:
    """A condition that does not compile, or is neither true nor false, is refused with the expression."""
    for condition in ("value >", "unknown > 1.0", "value + 1.0"):
        with pytest.raises(grpc.aio.AioRpcError) as invalid:
            await world.make_policy(on_condition=condition)
        assert invalid.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert condition in (invalid.value.details() or "")


async def test_a_policy_changes_version_by_version(world: Any) -> None:
    """An update makes a new version with the fields of the mask; an etag that is no longer the newest is refused."""
    policy = await world.make_policy()
    changed = await world.policies.UpdatePolicy(
        UpdatePolicyRequest(policy=Policy(name=policy.name, on_level_percent=90.0, etag=policy.etag))
    )
    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await world.policies.UpdatePolicy(
            UpdatePolicyRequest(policy=Policy(name=policy.name, on_level_percent=95.0, etag=policy.etag))
        )

    assert (changed.version, changed.on_level_percent, changed.off_level_percent) == (3, 90.0, 20.0)
    assert changed.mode == Policy.MODE_ACTIVE
    assert stale.value.code() == grpc.StatusCode.ABORTED
