"""Connections to the NATS of a stack for tests and benches, which look everywhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from maasloop.bus.accounts import CORE
from maasloop.bus.city import BOTH, CityUser
from maasloop.bus.connection import Bus, connect
from maasloop.bus.rights import DEVICES_API, SERVICES
from maasloop.identity.nats.claims import Rights, User
from maasloop.stack.doors import MqttListener, NatsUser, token_of
from maasloop.stack.local import LocalStack

EVERYTHING = Rights((">", f"{DEVICES_API}.>"), (">",))
"""The second subject says that devices have an account of their own."""


def core_user(stack: LocalStack) -> NatsUser:
    """Return a user who may do anything among the services."""
    return _user(stack, CORE, "tests-core", EVERYTHING)


def devices_user(stack: LocalStack) -> NatsUser:
    """Return a user who may do anything among the devices, where the MQTT listener stores."""
    return _user(stack, stack.city.devices, "tests-devices", Rights((">",), (">",)))


def devices_listener(stack: LocalStack) -> MqttListener:
    """Return how such a user connects over MQTT."""
    found = stack.mqtt
    user = devices_user(stack)
    if user.credentials_file is None:
        return found
    return replace(found, username="tests-devices", password=token_of(user.credentials_file))


@asynccontextmanager
async def core_bus(stack: LocalStack, name: str = "test") -> AsyncIterator[Bus]:
    """Connect among the services."""
    async with connect(**core_user(stack).options(), name=name) as bus:
        yield bus


@asynccontextmanager
async def devices_bus(stack: LocalStack, name: str = "test") -> AsyncIterator[Bus]:
    """Connect among the devices."""
    async with connect(**devices_user(stack).options(), name=name) as bus:
        yield bus


def refused_to_services(stack: LocalStack) -> list[str]:
    """Return what NATS refused services, as its log says: each line is a right that is missing, or one used wrongly."""
    path = stack.nats.process.log_path
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    named = tuple(f':{service}"' for service in SERVICES) + tuple(f":{service}-" for service in SERVICES)
    return [line for line in lines if " Violation - " in line and any(name in line for name in named)]


def _user(stack: LocalStack, account: str, name: str, rights: Rights) -> NatsUser:
    identities = stack.nats.identities
    if identities is None:
        return NatsUser(stack.nats.url)
    # A bearer may come over MQTT as well, where nobody can prove a key.
    path = identities.city.write_user(CityUser(name, account, User(rights, connection_types=BOTH, bearer=True)))
    return NatsUser(stack.nats.url, path, identities.tls.authority)
