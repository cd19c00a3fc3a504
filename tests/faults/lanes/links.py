"""Bad links: black holes with a busy and an idle publisher, half-open links, and everything else a network does."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.faults.lab import Lab
from tests.faults.lanes.kills import recovered
from tests.faults.lanes.outcome import Outcome
from tests.faults.nemesis import Nemesis
from tests.faults.proxy import Proxy, Toxics, Way

CUT_S = (10.5, 12.0)
"""Longer than the watchdog needs to notice."""
BAD_S = (3.0, 5.0)
HEALED_MAX_S = 10.0
"""Longest way back to the old rate after a link healed."""
IDLE = {"grpc_clients": 1, "grpc_readings": 10, "grpc_calls_per_s": 1.0, "http_clients": 0, "mqtt_clients": 1}
NOTICED = "bus_link_aborted"
"""What a service logs when its watchdog cuts a link that carries nothing."""


def _links(lab: Lab) -> dict[str, Proxy]:
    assert lab.links is not None
    return {
        "ingest-nats": lab.links.ingest_nats,
        "timeseries-nats": lab.links.timeseries_nats,
        "timeseries-postgres": lab.links.timeseries_postgres,
    }


async def black_holes(lab: Lab, nemesis: Nemesis) -> Outcome:
    """Cut each link so that sockets stay open: noticed while cut, healed soon after, nothing lost."""
    met: dict[str, bool] = {}
    figures: dict[str, Any] = {}
    # What went into a hole is delivered again while the next links are cut.
    for publisher, changes in (("idle", IDLE), ("busy", {})):
        async with lab.load(**changes) as sampler:
            usual = sampler.usual
            for name, proxy in _links(lab).items():
                if publisher == "idle" and name != "ingest-nats":
                    continue
                service = name.partition("-")[0]
                cut_s, noticed = nemesis.between(*CUT_S), _noticed(lab, service)
                proxy.block()
                await asyncio.sleep(cut_s)
                found = _noticed(lab, service) - noticed
                proxy.clean()
                took = await recovered(sampler, lab.clock.monotonic_s(), usual)
                nemesis.note("black hole", link=name, publisher=publisher, cut_s=round(cut_s, 1), recovery_s=took)
                figures[f"{name}, {publisher}: healed after, s"] = None if took is None else round(took, 2)
                met[f"{name}, {publisher}: healed within {HEALED_MAX_S:.0f} s"] = (took or 99.0) <= HEALED_MAX_S
                if name.endswith("nats"):
                    met[f"{name}, {publisher}: noticed while cut"] = found > 0
    return Outcome.of("black-holed links", await lab.verdict(), requirements=met, figures=figures)


def _noticed(lab: Lab, service: str) -> int:
    return lab.stack.services[service].log_path.read_text(errors="replace").count(NOTICED)


async def toxics(lab: Lab, nemesis: Nemesis) -> Outcome:
    """Go through all toxics on all links in an order of the seed, some at once."""
    slow = Toxics(latency_s=0.05, jitter_s=0.03)
    kinds: dict[str, Callable[[Proxy], Any]] = {
        "latency": lambda proxy: proxy.set(slow),
        "bandwidth": lambda proxy: proxy.set(Toxics(bytes_per_s=400_000)),
        "slicer": lambda proxy: proxy.set(Toxics(slice_bytes=700)),
        "limit_data": lambda proxy: proxy.set(Toxics(limit_bytes=200_000)),
        "reset_peer": lambda proxy: proxy.reset(),
        "half-open up": lambda proxy: proxy.block(Way.UP),
        "half-open down": lambda proxy: proxy.block(Way.DOWN),
        "down": lambda proxy: proxy.down(),
    }
    links = _links(lab)
    async with lab.load() as sampler:
        usual = sampler.usual
        for kind in nemesis.random.sample(list(kinds), len(kinds)):
            chosen = nemesis.random.sample(list(links), nemesis.random.randint(1, len(links)))
            nemesis.note("toxic", kind=kind, links=chosen)
            for name in chosen:
                await _done(kinds[kind](links[name]))
            await asyncio.sleep(nemesis.between(*BAD_S))
            for name in chosen:
                links[name].clean()
                if kind == "down":
                    await links[name].up()
            await asyncio.sleep(1.0)
        took = await recovered(sampler, lab.clock.monotonic_s(), usual)
    verdict = await lab.verdict()
    return Outcome.of(
        "toxics on every link",
        verdict,
        requirements={"back to the old rate": took is not None},
        figures={"toxics": len(kinds), "healed after, s": None if took is None else round(took, 2)},
    )


async def _done(result: Any) -> None:  # noqa: ANN401 - some toxics are set, others take a while
    if result is not None:
        await result
