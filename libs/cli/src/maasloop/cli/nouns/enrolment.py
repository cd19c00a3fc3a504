"""``maasloop claims``, ``maasloop enrol`` and ``maasloop credentials``: how a device or a network server gets in."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from maasloop.cli.calling import CREDENTIALS, ask, listed
from maasloop.cli.files import text_of
from maasloop.cli.names import district_name, name_in_district
from maasloop.cli.printing import Column, Json, Limit, print_json, say, show, show_one

claims_app = typer.Typer(help="One-time rights to enrol a device.", no_args_is_help=True)
credentials_app = typer.Typer(help="What devices and network servers prove themselves with.", no_args_is_help=True)

Holder = Annotated[str, typer.Argument(help="DISTRICT/DEVICE, networkServers/ID, or the whole resource name.")]
NETWORK_SERVERS = "networkServers/"

COLUMNS = (
    Column("credential", "name"),
    Column("method", "method", "METHOD_"),
    Column("created", "createTime"),
    Column("expires", "expireTime"),
    Column("revoked", "revokeTime"),
)


@claims_app.command("create")
def create_claims(
    context: typer.Context,
    district: Annotated[str, typer.Argument(help="District whose devices may be enrolled.")],
    *,
    count: Annotated[int, typer.Option(min=0, max=1_000, help="Claims for any device without a credential.")] = 0,
    device: Annotated[list[str] | None, typer.Option(help="Device that gets a claim of its own; repeatable.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="How long they hold.")] = 24,
    rate_per_minute: Annotated[int, typer.Option(min=1, help="Most enrolments of the batch a minute.")] = 60,
    as_json: Json = False,
) -> None:
    """Make claims for an installer; each is shown once, and good once."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    request = pb.GenerateEnrolmentClaimsRequest(
        parent=district_name(district),
        count=count if device or count else 1,
        devices=device or [],
        rate_per_minute=rate_per_minute,
    )
    request.ttl.FromTimedelta(timedelta(hours=hours))
    answer = ask(context, CREDENTIALS, "GenerateEnrolmentClaims", request)
    if as_json:
        print_json([{"claim": each.claim, "device": each.device} for each in answer.claims])
        return
    for each in answer.claims:
        say(f"{each.claim}  {each.device}".rstrip())


def enrol(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="DISTRICT/DEVICE, or the whole resource name.")],
    claim: Annotated[str, typer.Option(envvar="MAASLOOP_CLAIM", help="The one-time claim; safer by the variable.")],
    nkey: Annotated[str, typer.Option(help="Public nkey of the device, instead of a password.")] = "",
    csr: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Certificate signing request (PEM), instead of one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a device its credential for a claim; a password is shown once."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    request = pb.EnrolRequest(name=name_in_district(name, "devices"), claim=claim)
    if nkey:
        request.nkey = nkey
    elif csr is not None:
        request.csr = text_of(csr)
    _print_issued(ask(context, CREDENTIALS, "Enrol", request), as_json=as_json)


@credentials_app.command("create-network-server")
def create_network_server(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Id of the LoRaWAN network server, of your choice.")],
    *,
    as_json: Json = False,
) -> None:
    """Give a LoRaWAN network server a password, shown once: it tells events of its devices, and hears nothing."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    request = pb.GenerateNetworkServerCredentialRequest(network_server_id=id_)
    _print_issued(ask(context, CREDENTIALS, "GenerateNetworkServerCredential", request), as_json=as_json)


def _print_issued(issued: Any, *, as_json: bool) -> None:
    """Print a credential with what is shown of it this once."""
    if as_json:
        said = {
            "credential": issued.credential.name,
            "userName": issued.user_name,
            "clientId": issued.client_id,
            "password": issued.password,
            "certificateChain": issued.certificate_chain,
            "commandKeys": issued.command_keys.jwk_set,
        }
        print_json({key: value for key, value in said.items() if value})
        return
    say(f"credential  {issued.credential.name}\nuser name   {issued.user_name}\nclient id   {issued.client_id}")
    if issued.password:
        say(f"password    {issued.password}")
    if issued.certificate_chain:
        say(issued.certificate_chain.rstrip())


def _holder(text: str) -> str:
    return text if text.startswith(NETWORK_SERVERS) else name_in_district(text, "devices")


@credentials_app.command("command-keys")
def command_keys(context: typer.Context) -> None:
    """Print the keys by which devices check commands, a JWK Set: fetch it again after a rotation."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    say(ask(context, CREDENTIALS, "FetchCommandKeys", pb.FetchCommandKeysRequest()).jwk_set)


@credentials_app.command("list")
def list_credentials(
    context: typer.Context,
    name: Holder,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List the credentials of a device or network server, those that ended as well."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    request = pb.ListCredentialsRequest(parent=_holder(name))
    show(listed(context, CREDENTIALS, "ListCredentials", request, "credentials", limit), COLUMNS, as_json=as_json)
    refused = ask(context, CREDENTIALS, "ListCredentials", request).refusals
    if refused.count and not as_json:
        say(f"refused {refused.count} times, {refused.hour_count} in this hour, the last one: {refused.last_reason}")


@credentials_app.command("refusals")
def refusals(
    context: typer.Context,
    name: Holder,
    as_json: Json = False,
) -> None:
    """Show how often clients were refused in the name of a device or network server, and why the last one was."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    request = pb.ListCredentialsRequest(parent=_holder(name), page_size=1)
    show_one(ask(context, CREDENTIALS, "ListCredentials", request).refusals, as_json=as_json)


@credentials_app.command("revoke")
def revoke_credential(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Resource name of the credential, as credentials list shows it.")],
) -> None:
    """End one credential for good, and close what rests on it."""
    from maasloop.api.device.v1 import credential_service_pb2 as pb

    if "/credentials/" not in name:
        message = f"the whole name of a credential is needed, as `maasloop credentials list` shows it; got {name}"
        raise typer.BadParameter(message)
    ask(context, CREDENTIALS, "RevokeCredential", pb.RevokeCredentialRequest(name=name))
    say(f"{name} is revoked")
