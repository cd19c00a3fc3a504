"""``maasloop account``: what became of every reading that was acknowledged."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from maasloop.cli.calling import SERIES, ask, listed
from maasloop.cli.names import district_name
from maasloop.cli.printing import Column, Json, Limit, print_json, say, show_rows

TERMS = {
    "stored": "rows written",
    "duplicate": "were rows already, with the same value",
    "conflict": "were rows already, with another value",
    "quarantined": "refused, kept with their bytes",
    "refused_consent": "personal, without consent",
    "shed": "dropped under load after they were acknowledged",
    "dead_lettered": "given up, kept in the stream DEADLETTERS",
    "in_stream": "acknowledged and on their way",
}
DOORS = (
    Column("door", "door"),
    Column("accepted", "accepted"),
    *(Column(term.replace("_", " "), term) for term in TERMS if term != "in_stream"),
    Column("late", "late"),
)
DEVICES = (
    Column("device", "device"),
    Column("missing", "missing_payload"),
    Column("refused", "refused"),
    Column("conflict", "conflict"),
    Column("late", "late"),
    Column("duplicate", "duplicate"),
    Column("stored", "stored"),
    Column("count", "last_sequence"),
    Column("last received", "receipt_time"),
)
DEVICES_READ_MAX = 100_000
"""Accounts that are looked through for those printed."""


def account(
    context: typer.Context,
    *,
    district: Annotated[str, typer.Option(help="Only this district.")] = "",
    devices: Annotated[
        bool, typer.Option("--devices", help="Also each device of the district, the most troubled first.")
    ] = False,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Show the custody balance; exit status 1 when it is not exact, or something is lost."""
    from maasloop.api.observation.v1.series_service_pb2 import GetCustodyBalanceRequest

    if devices and not district:
        message = "--devices needs --district"
        raise typer.BadParameter(message)
    request = GetCustodyBalanceRequest(parent=district_name(district) if district else "")
    found = _read(ask(context, SERIES, "GetCustodyBalance", request))
    if devices:
        found["devices"] = _devices(context, district, limit)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["balanced"]:
        raise typer.Exit(1)


def _read(balance: Any) -> dict[str, Any]:
    """Return the balance with what follows from it."""
    accepted, lost, stored = balance.accepted_count, balance.lost_count, balance.stored_count
    terms = {term: int(getattr(balance, f"{term}_count")) for term in TERMS}
    unexplained = accepted - sum(terms.values()) - lost
    miscounted = balance.series_stored_count - stored
    return {
        "accepted": accepted,
        **terms,
        "lost": lost,
        "unexplained": unexplained,
        "miscounted": miscounted,
        "late": balance.late_count,
        "at_rest": not balance.in_stream_count,
        "balanced": not (lost or unexplained or miscounted),
        "doors": [
            _counts(door, "door", "accepted", *(term for term in TERMS if term != "in_stream"), "late")
            for door in balance.doors
        ],
    }


def _devices(context: typer.Context, district: str, limit: int) -> list[dict[str, Any]]:
    """Return the accounts of a district, those with most missing, refused and late readings first."""
    from maasloop.api.observation.v1.accounts_pb2 import ListDeviceAccountsRequest
    from maasloop.rpc.times import datetime_from

    request = ListDeviceAccountsRequest(parent=district_name(district))
    found = listed(context, SERIES, "ListDeviceAccounts", request, "accounts", DEVICES_READ_MAX)
    found.sort(key=lambda each: (-each.missing_payload_count, -_refused(each), -each.late_count, each.device))
    return [
        {
            **_counts(each, "device", "missing_payload", "quarantined", "conflict", "late", "duplicate", "stored"),
            "refused": _refused(each),
            "last_sequence": each.last_sequence,
            "receipt_time": datetime_from(each.receipt_time).isoformat() if each.HasField("receipt_time") else None,
        }
        for each in found[:limit]
    ]


def _refused(account: Any) -> int:
    return int(account.quarantined_count + account.conflict_count)


def _counts(message: Any, name: str, *terms: str) -> dict[str, Any]:
    return {name: getattr(message, name), **{term: int(getattr(message, f"{term}_count")) for term in terms}}


def _print(found: Mapping[str, Any]) -> None:
    say(f"{'accepted':<18} {found['accepted']:>14,}")
    for term, meaning in TERMS.items():
        say(f"  {term:<16} {found[term]:>14,}  {meaning}")
    if found["unexplained"]:
        say(f"  {'unexplained':<16} {found['unexplained']:>14,}  the sum differs from what was accepted")
    if found["lost"]:
        say(f"  {'lost':<16} {found['lost']:>14,}  missing from a producer's running total: investigate")
    if found["miscounted"]:
        say(f"  {'miscounted':<16} {found['miscounted']:>14,}  the series count other rows than the balance")
    say(f"{'late':<18} {found['late']:>14,}  of those stored, older than the newest of their series")
    _print_tables(found["doors"], found.get("devices"))
    if found["balanced"]:
        say("every accepted reading is accounted for")
    if not found["at_rest"]:
        say("not at rest: readings are on their way, and the terms still move")


def _print_tables(doors: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]] | None) -> None:
    if doors:
        say("")
        show_rows([{**door, "door": door["door"] or "(not said)"} for door in doors], DOORS, as_json=False)
    if devices is not None:
        say("")
        show_rows(devices, DEVICES, as_json=False)
