"""What security costs: rows a second and the latency of the loop, with it and without, in turns on the same machine.

Rows a second are judged by the worst of three doors: batches over gRPC and NATS, and readings that come one by one over MQTT,
where each is a record of TLS of its own on every link, the client's share of it on the same machine. The loop is judged by
the 99th percentile of all its loops. Processor time is told beside both: it says the same with less noise. Why so: decision 0043.
"""

from tests.load import loop_overhead, overhead
from tests.security.outcome import Outcome, Plan

RATIO_MAX, LOOP_RATIO_MAX = 1.1, 1.2
REPEATS, STREET_SECONDS = 9, 45
PAIRS, LOOPS = 4, 500
LOOPS_MIN = 40


async def run(plan: Plan) -> Outcome:
    """Measure both."""
    rows = await overhead.measure(repeats=plan.cases(REPEATS), seconds=max(2, plan.cases(STREET_SECONDS)))
    loop = await loop_overhead.measure(pairs=plan.cases(PAIRS), loops=max(LOOPS_MIN, plan.cases(LOOPS)))
    worst, worst_cpu = (max(rows[f"{door}_{kind}_ratio"] for door in overhead.DOORS) for kind in ("time", "cpu"))
    return Outcome.of(
        "what security costs",
        {
            f"rows a second: at most {RATIO_MAX} times as long": worst <= RATIO_MAX,
            f"the loop's p99: at most {LOOP_RATIO_MAX} times as long": loop["p99_ratio"] <= LOOP_RATIO_MAX,
        },
        figures={
            "auth_overhead_ratio": round(worst, 3),
            "auth_cpu_ratio": round(worst_cpu, 3),
            **{f"auth_{door}_ratio": round(rows[f"{door}_time_ratio"], 3) for door in overhead.DOORS},
            "loop_p99_ratio": round(loop["p99_ratio"], 3),
            "loop_cpu_ratio": round(loop["cpu_ratio"], 3),
        },
        notes=(
            *(f"{name}: {value:,.3f}" for name, value in rows.items() if ": " not in name),
            *(f"loop {name}: {value}" for name, value in loop.items()),
        ),
    )
