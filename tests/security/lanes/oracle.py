"""Generated cases on a real server with the accounts and rights of a city, against an independent model."""

from tests.security.oracle.judge import Judge, Verdict
from tests.security.oracle.sessions import Sessions
from tests.security.oracle.town import town
from tests.security.outcome import Outcome, Plan

NATS_CASES = 180_000
MQTT_CASES = 30_000
DEVICES = 6
"""Of each account, in the stories about sessions."""
WILDCARD = "wildcard-allow"


async def run(plan: Plan) -> Outcome:
    """Put all cases to one server."""
    verdict = _judged(plan)
    return Outcome.of(
        "authorization oracle",
        {"the server does what the model allows, and nothing else": not verdict.mismatches},
        figures={
            "oracle_cases": verdict.cases,
            "oracle_mismatches": verdict.mismatches,
            "bytes_across_tenants": verdict.across,
            "oracle_refused": verdict.refused,
        },
        notes=tuple(verdict.examples),
    )


def _judged(plan: Plan) -> Verdict:
    with town(wildcard=plan.sabotage == WILDCARD) as made:
        judge = Judge(made, plan.seed)
        judge.nats(plan.cases(NATS_CASES))
        judge.mqtt(plan.cases(MQTT_CASES))
        if plan.sabotage != WILDCARD:
            Sessions(made, judge.verdict, devices_max=plan.cases(DEVICES)).run()
        judge.close()
        return judge.verdict
