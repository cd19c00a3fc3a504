"""``maasloop account``: what became of every reading that was acknowledged."""

from typing import Annotated

import typer

from maasloop.cli.calling import SERIES, ask
from maasloop.cli.names import district_name
from maasloop.cli.printing import Json, print_json, say

TERMS = {
    "stored": "rows written",
    "duplicate": "were rows already, with the same value",
    "conflict": "were rows already, with another value",
    "quarantined": "refused, kept with their bytes",
    "refused_consent": "personal, without consent",
    "shed": "dropped under load after they were acknowledged",
    "dead_lettered": "given up",
    "in_stream": "acknowledged and on their way",
}


def account(
    context: typer.Context,
    district: Annotated[str, typer.Option(help="Only this district.")] = "",
    as_json: Json = False,
) -> None:
    """Show the custody balance; exit status 1 when it is not exact, or something is lost."""
    from maasloop.api.observation.v1.series_service_pb2 import GetCustodyBalanceRequest

    request = GetCustodyBalanceRequest(parent=district_name(district) if district else "")
    balance = ask(context, SERIES, "GetCustodyBalance", request)
    accepted, lost = balance.accepted_count, balance.lost_count
    terms = {term: int(getattr(balance, f"{term}_count")) for term in TERMS}
    missing = accepted - sum(terms.values())
    if as_json:
        print_json({"accepted": accepted, **terms, "lost": lost, "unexplained": missing})
    else:
        _print(accepted, terms, missing, lost)
    if missing or lost:
        raise typer.Exit(1)


def _print(accepted: int, terms: dict[str, int], missing: int, lost: int) -> None:
    say(f"{'accepted':<18} {accepted:>14,}")
    for term, count in terms.items():
        say(f"  {term:<16} {count:>14,}  {TERMS[term]}")
    if missing:
        say(f"  {'unexplained':<16} {missing:>14,}  the sum differs from what was accepted")
    if lost:
        say(f"{'lost':<18} {lost:>14,}  missing from a producer's running total: investigate")
    if not missing and not lost:
        say("every accepted reading is accounted for")
