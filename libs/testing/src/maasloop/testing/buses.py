"""Connections to the NATS of a stack for tests and benches, which look everywhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maasloop.bus.accounts import CORE
from maasloop.bus.city import CityUser
from maasloop.bus.connection import Bus, connect
from maasloop.bus.rights import DEVICES_API
from maasloop.identity.nats.claims import Rights, User
from maasloop.stack.doors import NatsUser
from maasloop.stack.local import LocalStack

EVERYTHING = Rights((">", f"{DEVICES_API}.>"), (">",))
"""The second subject says that devices have an account of their own."""


def core_user(stack: LocalStack) -> NatsUser:
    """Return a user who may do anything among the services."""
    return _user(stack, CORE, "tests-core", EVERYTHING)


def devices_user(stack: LocalStack) -> NatsUser:
    """Return a user who may do anything among the devices, where the MQTT listener stores."""
    return _user(stack, stack.city.devices, "tests-devices", Rights((">",), (">",)))


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


def _user(stack: LocalStack, account: str, name: str, rights: Rights) -> NatsUser:
    identities = stack.nats.identities
    if identities is None:
        return NatsUser(stack.nats.url)
    path = identities.city.write_user(CityUser(name, account, User(rights)))
    return NatsUser(stack.nats.url, path, identities.tls.authority)
