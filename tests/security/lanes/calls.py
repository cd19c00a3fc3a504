"""What the gate adds to one call: who is it, may they, and is it written down; on PostgreSQL whose files are on a disk.

The same method of the contract, which changes something and whose handler only answers, is called one call after the
other at three servers in turns: one that asks nobody anything, one with TLS, token and table of roles, and one that
writes each call down besides. Appends to the log alone stand beside a bare commit of one row, which the disk takes anyway.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter

import grpc
from tests.load.lab import directory
from tests.security.matrix import requests
from tests.security.matrix.city import IDS, City, answer_all, serving
from tests.security.matrix.expected import CITY, Caller
from tests.security.outcome import Outcome, Plan

from maasloop.audit.entries import Entry, Verb
from maasloop.audit.pseudonyms import Pseudonyms
from maasloop.core.clock import SystemClock
from maasloop.postgres.pool import Pool, open_pool
from maasloop.rpc.auditing import CallAudit
from maasloop.rpc.server import RpcServer
from maasloop.runtime.auditing import AuditTrail
from maasloop.stack.local import LocalStack, StackOptions

METHOD = "SetOverride"
CALLER = Caller("operator", everywhere=True)
SERVICE = "consent"
ROUNDS, CALLS = 10, 100
APPENDS = 2_000
TIMEOUT_S = 10.0

type Step = Callable[[], Awaitable[object]]


async def run(plan: Plan) -> Outcome:
    """Call and append; nothing is judged but that everything was answered."""
    with directory() as root:
        async with (
            LocalStack(root, StackOptions(services=(), restart=False)) as stack,
            open_pool(stack.service_dsns[SERVICE], name="proof") as pool,
        ):
            trail = AuditTrail(pool, SystemClock())
            writing = asyncio.create_task(trail.run())
            appended = await _in_turns({"bare_commit": await _committing(pool), "audit_append": _appending(trail)},
                rounds=ROUNDS, each=max(10, plan.cases(APPENDS) // ROUNDS))  # fmt: skip
            called = await _calls(trail, max(10, plan.cases(CALLS)))
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
    figures = {f"call_{name}_ms": round(statistics.median(took), 2) for name, took in called.items()}
    for name, took in appended.items():
        figures |= {f"{name}_p50_ms": round(statistics.median(took), 2), f"{name}_p99_ms": round(_p99(took), 2)}
    return Outcome.of(
        "cost of a call",
        {"every call and every entry was answered": True},
        figures=figures,
        notes=tuple(
            f"{name}: median {statistics.median(took):.2f} ms, 10 to 90 of 100 {_tenths(took)[0]:.2f} to"
            f" {_tenths(took)[-1]:.2f} ms, p99 {_p99(took):.2f} ms of {len(took)}"
            for name, took in {**called, **appended}.items()
        ),
    )


async def _calls(trail: AuditTrail, each: int) -> Mapping[str, list[float]]:
    audit = CallAudit(trail, Pseudonyms(bytes(32)), SystemClock())
    plain = RpcServer("127.0.0.1:0")
    answer_all(plain)
    await plain.start()
    async with grpc.aio.insecure_channel(plain.address) as bare, serving() as judged, serving(audit=audit) as audited:
        steps = {
            "unidentified": _call(bare, ""),
            "authorized": _call(judged.channel, _token(judged)),
            "audited": _call(audited.channel, _token(audited)),
        }
        took = await _in_turns(steps, rounds=ROUNDS, each=each)
    await plain.stop(0)
    return took


def _token(city: City) -> str:
    return city.token(CALLER)


def _call(channel: grpc.aio.Channel, token: str) -> Step:
    (method,) = (each for each in requests.methods() if each.name == METHOD)
    body = requests.request(method, *IDS[CITY]).SerializeToString()
    ask: Callable[..., Awaitable[object]] = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
    metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def call() -> object:
        return await ask(body, metadata=metadata, timeout=TIMEOUT_S)

    return call


def _appending(trail: AuditTrail) -> Step:
    clock = SystemClock()

    async def append() -> None:
        resource = "districts/noord/devices/lamp-1"
        await trail.record(Entry(time_us=clock.now_us(), verb=Verb.ASKED, actor="person/p1", resource=resource))

    return append


async def _committing(pool: Pool) -> Step:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE bare (at timestamptz NOT NULL DEFAULT now())")

    async def commit() -> None:
        async with pool.connection() as connection:
            await connection.execute("INSERT INTO bare DEFAULT VALUES")

    return commit


async def _in_turns(steps: Mapping[str, Step], *, rounds: int, each: int) -> Mapping[str, list[float]]:
    """Return the milliseconds of every step, of which so many follow each other before the next kind's turn."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        await step()
    for _ in range(rounds):
        for name, step in steps.items():
            for _ in range(each):
                began_s = perf_counter()
                await step()
                took[name].append((perf_counter() - began_s) * 1_000)
    return took


def _tenths(took: list[float]) -> list[float]:
    return statistics.quantiles(took, n=10)


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]
