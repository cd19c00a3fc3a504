"""``maasloop consent grant | withdraw | check``."""

from typing import Annotated, Any

import typer

from maasloop.cli.calling import CONSENT, ask, request_id
from maasloop.cli.moments import moment
from maasloop.cli.names import name_of
from maasloop.cli.printing import Json, plain, print_json, say, show_one

app = typer.Typer(help="The right to process personal readings.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="Data subject: a pseudonym.")]
Activity = Annotated[str, typer.Argument(help="Processing activity.")]


@app.command()
def grant(
    context: typer.Context,
    subject: Subject,
    activity: Activity,
    *,
    notice: Annotated[str, typer.Option(help="Version of the notice that was shown.")],
    language: Annotated[str, typer.Option(help="Language of the notice that was shown.")] = "",
    method: Annotated[str, typer.Option(help="How it was given: app, paper, guardian …")] = "cli",
    until: Annotated[str, typer.Option(help="When it ends by itself: +30d, or RFC 3339.")] = "",
    as_json: Json = False,
) -> None:
    """Record that a person consents to an activity."""
    from maasloop.api.consent.v1.consent_pb2 import ConsentRecord
    from maasloop.api.consent.v1.consent_service_pb2 import GrantConsentRequest
    from maasloop.rpc.times import timestamp_from

    record = ConsentRecord(
        data_subject=name_of(subject, "dataSubjects"),
        processing_activity=name_of(activity, "processingActivities"),
        notice_version=notice,
        notice_language=language,
        method=method,
        expire_time=timestamp_from(moment(until)) if until else None,
    )
    request = GrantConsentRequest(consent_record=record, request_id=request_id())
    show_one(ask(context, CONSENT, "GrantConsent", request), as_json=as_json)


@app.command()
def withdraw(
    context: typer.Context,
    subject_or_record: Annotated[str, typer.Argument(help="The record, or the data subject with its activity.")],
    activity: Annotated[str, typer.Argument(help="Processing activity, after a data subject.")] = "",
    as_json: Json = False,
) -> None:
    """Record that a person withdraws a consent."""
    from maasloop.api.consent.v1.consent_service_pb2 import WithdrawConsentRequest
    from maasloop.core.errors import NotFound

    name = name_of(subject_or_record, "consentRecords")
    if activity:
        found = _check(context, subject_or_record, activity)
        if not found.consent_record:
            raise NotFound("RESOURCE_NOT_FOUND", f"there is no consent to withdraw: {found.detail}")
        name = found.consent_record
    show_one(ask(context, CONSENT, "WithdrawConsent", WithdrawConsentRequest(name=name)), as_json=as_json)


@app.command()
def check(context: typer.Context, subject: Subject, activity: Activity, as_json: Json = False) -> None:
    """Tell whether an activity may process a person's data now; exit status 1 if not."""
    found = _check(context, subject, activity)
    if as_json:
        print_json(plain(found))
    else:
        say(f"{'permitted' if found.permitted else 'not permitted'}: {found.detail}")
    if not found.permitted:
        raise typer.Exit(1)


def _check(context: typer.Context, subject: str, activity: str) -> Any:
    from maasloop.api.consent.v1.consent_service_pb2 import CheckConsentRequest

    request = CheckConsentRequest(
        data_subject=name_of(subject, "dataSubjects"), processing_activity=name_of(activity, "processingActivities")
    )
    return ask(context, CONSENT, "CheckConsent", request)
