"""Writes the figures of the last benches into ``docs/reports/data-path.md`` and the README, between their marks."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.load import data_path, scale, sustained
from tests.load.lab import BENCHES

REPORT, README = Path("docs/reports/data-path.md"), Path("README.md")
_LATENCY_PARTS = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "samples")
_LATENCY = re.compile(rf"(.+)_({'|'.join(_LATENCY_PARTS)})(.*)")
BENCH_NAMES = ("data-path", "sustained", "soak", "overload", "scale", "profile")


def section(name: str, told: dict[str, Any]) -> str:
    """Return the tables of one bench."""
    about = told.get("machine", {})
    lines = [f"Measured {about.get('time')} at commit `{about.get('commit')}`: {about.get('cores')} cores, "]
    lines[0] += (
        f"{about.get('processor')}, {about.get('memory_mib')} MiB, load before {about.get('load_average_before')}."
    )
    if name == "profile":
        return "\n".join([*lines, "", *_costs(told)]) + "\n"
    limits = _limits(name, told)
    judged = {line.split()[0] for line in limits}
    lines += [
        "",
        "```text",
        *limits,
        "```",
        "",
        "| figure | median or value | least | most |",
        "|---|---:|---:|---:|",
    ]
    latencies: dict[str, dict[str, float]] = {}
    none: list[str] = []
    for figure, value in told.items():
        if value in (0, {}):
            none.append(figure)
        elif (found := _LATENCY.fullmatch(figure)) and isinstance(value, int | float):
            latencies.setdefault(found[1] + found[3], {})[found[2]] = value
        elif isinstance(value, dict) and "median" in value:
            lines.append(f"| {figure} | {value['median']:,} | {value['min']:,} | {value['max']:,} |")
        elif isinstance(value, int | float) and figure not in judged:
            lines.append(f"| {figure} | {value:,} | | |")
        elif isinstance(value, dict) and figure != "machine":
            by_part = value if any(isinstance(found, dict) for found in value.values()) else {"": value}
            lines += [f"| {figure}{part and f': {part}'} | {_short(found)} | | |" for part, found in by_part.items()]
    lines += ["", f"0 or nothing: {', '.join(none)}."] if none else []
    return "\n".join([*lines, *_latencies(latencies)]) + "\n"


def _latencies(latencies: dict[str, dict[str, float]]) -> list[str]:
    """Return a line a latency; nothing where there is none."""
    if not latencies:
        return []
    lines = ["", "| latency, ms | p50 | p90 | p99 | longest | samples |", "|---|---:|---:|---:|---:|---:|"]
    for name, found in latencies.items():
        cells = [f"{found[part]:,}" if part in found else "" for part in _LATENCY_PARTS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _limits(name: str, told: dict[str, Any]) -> list[str]:
    if name == "data-path":
        return data_path.limits(told)
    return scale.limits(told) if name == "scale" else sustained.limits(sustained.PLANS[name], told)


def _costs(told: dict[str, Any]) -> list[str]:
    lines = []
    for title, key, most in (
        ("in the function itself", "costs", 3),
        ("in the function and all that it calls", "whole_costs", 8),
    ):
        lines += [f"| share of samples {title} | process | function |", "|---:|---|---|"]
        lines += [
            f"| {cost['share']:.1%} | {cost['process']} | `{cost['function']}` |" for cost in told.get(key, [])[:most]
        ]
        lines.append("")
    shares = ", ".join(f"{name} {share:.1%}" for name, share in told.get("processes", {}).items())
    return [*lines, f"Of all samples: {shares}."]


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(found)}" for name, found in value.items())
    if isinstance(value, list):
        return " ".join(_short(found) for found in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def measured(told: dict[str, Any]) -> str:
    """Return what the README tells of the data path."""

    def rate(figure: str, unit: str, of: str = "") -> str:
        share = f" ({told[of]:.2f} of COPY)" if of else ""
        return f"{round(told[figure]['median'], -3):,.0f} {unit}{share}"

    mqtt, loop = told["mqtt_ratio"], "loop_latency_{}_ms_at_10000"
    both = [round(told[loop.format(part)]) for part in ("p50", "p99")]
    rows = {
        "raw binary COPY into the same hypertable, the better of two orders": (
            f"{round(told['copy_rows_per_s'], -3):,.0f} rows/s"
        ),
        "gRPC stream, 1,000 readings a message, until rows, newest values and minutes of all are readable": rate(
            "grpc_batch_1000_rows_per_s", "rows/s", "ratio_1000"
        ),
        "the same, 5,000 readings a message": rate("grpc_batch_5000_rows_per_s", "rows/s", "ratio_5000"),
        "gRPC, a call for 1,000 readings": rate("grpc_call_1000_rows_per_s", "rows/s", "ratio_call_1000"),
        "the same, a call for 5,000 readings": rate("grpc_call_5000_rows_per_s", "rows/s", "ratio_call_5000"),
        "NATS request, 1,000 readings a message": rate("nats_batch_1000_rows_per_s", "readings/s"),
        "SenML JSON over HTTP, until readable": rate("senml_rows_per_s", "readings/s"),
        "JSON over HTTP, 100 readings a request, until readable": rate("http_json_rows_per_s", "readings/s"),
        "MQTT 3.1.1, QoS 1, one reading a message, until readable, against publishes that are only stored, on the same server": (
            f"{mqtt['median']:.2f} ({mqtt['min']:.2f} to {mqtt['max']:.2f})"
        ),
        "from a device's reading to the command at the lamp, beside 10,000 readings/s, p50 and p99": (
            f"{both[0]} and {both[1]} ms"
        ),
    }
    return "| what | figure |\n|---|---|\n" + "".join(f"| {what} | {figure} |\n" for what, figure in rows.items())


def filled(text: str, sections: dict[str, str]) -> str:
    """Return the report with each section between its marks."""
    for name, body in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda found, body=body: f"{found[1]}{body}{found[2]}", text)  # type: ignore[misc]  # the type of a default in a lambda cannot be said
        if count != 1:
            message = f"the page has {count} places for {name}"
            raise ValueError(message)
    return text


def main() -> int:
    """Write what was measured here and return the exit status; what was not stays as it is, with its date and commit."""
    sections: dict[str, str] = {}
    for name in BENCH_NAMES:
        path = BENCHES / f"{name}.json"
        if not path.exists():
            continue
        told = json.loads(path.read_text(encoding="utf-8"))
        sections[name] = section(name, told)
        if name == "data-path":
            README.write_text(
                filled(README.read_text(encoding="utf-8"), {"measured": measured(told)}), encoding="utf-8"
            )
    REPORT.write_text(filled(REPORT.read_text(encoding="utf-8"), sections), encoding="utf-8")
    print(f"{', '.join(sections) or 'nothing'} written to {REPORT} and {README}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
