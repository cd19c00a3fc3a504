"""``maasloop policies apply | list | shadow-report``."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from maasloop.cli.calling import POLICIES, ask, listed, request_id
from maasloop.cli.files import text_of
from maasloop.cli.moments import moment
from maasloop.cli.names import district_name, enum_value, name_of
from maasloop.cli.printing import Column, Json, Limit, plain, print_json, say, show, show_one

app = typer.Typer(help="Policies: from observations to setpoints of lamps, as data.", no_args_is_help=True)

COLUMNS = (
    Column("policy", "name"),
    Column("district", "district"),
    Column("mode", "mode", "MODE_"),
    Column("version", "version"),
    Column("on", "onCondition"),
    Column("off", "offCondition"),
    Column("scope", "scope", "SCOPE_"),
    Column("on %", "onLevelPercent"),
    Column("off %", "offLevelPercent"),
)


@app.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A policy, or a list, in YAML or JSON.")],
    mode: Annotated[
        Literal["off", "shadow", "active"] | None, typer.Option(help="Switch to this mode afterwards.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the policies of a file, or make new versions of those that exist and differ."""
    applied = [_apply(context, policy, mode) for policy in _read(file)]
    if as_json:
        print_json([plain(policy) for _, policy in applied])
        return
    for what, policy in applied:
        say(f"{policy.name} {what}, version {policy.version}, {plain(policy)['mode'].removeprefix('MODE_').lower()}")


@app.command("list")
def list_policies(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="Only of this district.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List policies, ordered by name."""
    from maasloop.api.command.v1.policy_service_pb2 import ListPoliciesRequest

    request = ListPoliciesRequest(parent=district_name(district) if district else "")
    show(listed(context, POLICIES, "ListPolicies", request, "policies", limit), COLUMNS, as_json=as_json)


@app.command("shadow-report")
def shadow_report(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="Policy.")],
    start: Annotated[
        str, typer.Option("--from", help="First moment: -1h, or RFC 3339; the beginning if not given.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="First moment left out; now if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Show what a policy in shadow mode would have done."""
    from maasloop.api.command.v1.policy_service_pb2 import GetShadowReportRequest
    from maasloop.rpc.times import timestamp_from

    request = GetShadowReportRequest(
        name=name_of(policy, "policies"),
        start_time=timestamp_from(moment(start)) if start else None,
        end_time=timestamp_from(moment(end)) if end else None,
    )
    show_one(ask(context, POLICIES, "GetShadowReport", request), as_json=as_json)


def _read(file: Path) -> list[Any]:
    from google.protobuf import json_format

    from maasloop.api.command.v1.policy_service_pb2 import Policy

    try:
        found = _parsed(file)
        policies = found if isinstance(found, list) else [found]
        if not all(isinstance(policy, dict) for policy in policies):
            raise ValueError("a policy is a mapping of its fields")
        return [json_format.ParseDict(policy, Policy()) for policy in policies]
    except (json_format.ParseError, ValueError) as error:
        message = f"{file} holds no policies: {error}"
        raise typer.BadParameter(message) from None


def _parsed(file: Path) -> Any:
    text = text_of(file)
    if file.suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _apply(context: typer.Context, policy: Any, mode: str | None) -> tuple[str, Any]:
    """Return what was done, in a word, and the policy as it is."""
    from maasloop.api.command.v1 import policy_service_pb2 as pb
    from maasloop.core.errors import NotFound

    policy.name = name_of(policy.name, "policies")
    try:
        found = ask(context, POLICIES, "GetPolicy", pb.GetPolicyRequest(name=policy.name))
    except NotFound:
        policy_id = policy.name.removeprefix("policies/")
        create = pb.CreatePolicyRequest(policy_id=policy_id, policy=policy, request_id=request_id())
        what, found = "created", ask(context, POLICIES, "CreatePolicy", create)
    else:
        merged = pb.Policy()
        merged.CopyFrom(found)
        merged.MergeFrom(policy)
        merged.observed_properties[:] = policy.observed_properties or found.observed_properties
        what = "unchanged" if merged == found else "changed"
        if what == "changed":
            found = ask(context, POLICIES, "UpdatePolicy", pb.UpdatePolicyRequest(policy=policy))
    if mode is not None:
        wanted = enum_value(pb.Policy.Mode, "MODE", mode)
        found = ask(context, POLICIES, "SetPolicyMode", pb.SetPolicyModeRequest(name=policy.name, mode=wanted))
    return what, found
