"""``maasloop access keys | create-key | revoke-key | revoke | reinstate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from maasloop.cli.calling import Door, ask, listed
from maasloop.cli.printing import Column, Json, Limit, say, show, show_one

app = typer.Typer(help="Keys of programs, and who is let in no more.", no_args_is_help=True)

ACCESS = Door("device-registry", "maasloop.api.device.v1.access_service_pb2_grpc", "AccessServiceStub")
COLUMNS = (
    Column("key", "name"),
    Column("program", "program"),
    Column("roles", "grants"),
    Column("ends", "expireTime"),
    Column("revoked", "revokeTime"),
)
DAY_S = 86_400

type Kind = Annotated[Literal["person", "program"], typer.Argument(help="Who: a person or a program.")]
type Name = Annotated[str, typer.Argument(help="Subject of the person's tokens, or id of the program.")]


@app.command()
def keys(context: typer.Context, limit: Limit = 100, as_json: Json = False) -> None:
    """List keys of programs, without their secrets."""
    from maasloop.api.device.v1.access_service_pb2 import ListApiKeysRequest

    show(listed(context, ACCESS, "ListApiKeys", ListApiKeysRequest(), "api_keys", limit), COLUMNS, as_json=as_json)


@app.command("create-key")
def create_key(
    context: typer.Context,
    program: Annotated[str, typer.Argument(help="Id of the program, under which it may be revoked as a whole.")],
    role: Annotated[str, typer.Option(help="Role, for example viewer or integrator.")],
    *,
    district: Annotated[list[str] | None, typer.Option(help="District; may be repeated.")] = None,
    all_districts: Annotated[bool, typer.Option(help="It holds in the whole city instead.")] = False,
    domain: Annotated[list[str] | None, typer.Option(help="Only this domain; may be repeated.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it holds.")] = 90,
    secret_file: Annotated[
        Path | None, typer.Option(help="Write the secret there, for nobody else to read, instead of showing it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key; its secret is shown this once."""
    from google.protobuf.duration_pb2 import Duration

    from maasloop.api.device.v1 import access_service_pb2 as pb
    from maasloop.identity.secret_files import write_secret

    grant = pb.RoleGrant(role=role, districts=district or [], all_districts=all_districts, domains=domain or [])
    request = pb.GenerateApiKeyRequest(
        api_key=pb.ApiKey(program=program, grants=[grant]), ttl=Duration(seconds=days * DAY_S)
    )
    made = ask(context, ACCESS, "GenerateApiKey", request)
    if secret_file is not None:
        write_secret(secret_file.absolute(), f"{made.secret}\n".encode())
        made.ClearField("secret")
    show_one(made, as_json=as_json)


@app.command("revoke-key")
def revoke_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The key, as `maasloop access keys` tells it.")],
    as_json: Json = False,
) -> None:
    """End a key for good; tokens that it gave are refused by every service."""
    from maasloop.api.device.v1.access_service_pb2 import RevokeApiKeyRequest

    whole = name if name.startswith("apiKeys/") else f"apiKeys/{name}"
    show_one(ask(context, ACCESS, "RevokeApiKey", RevokeApiKeyRequest(name=whole)), as_json=as_json)


@app.command()
def revoke(context: typer.Context, kind: Kind, name: Name) -> None:
    """Refuse all tokens of a person or a program, and end their calls."""
    from maasloop.api.device.v1 import access_service_pb2 as pb

    known = pb.PRINCIPAL_KIND_PERSON if kind == "person" else pb.PRINCIPAL_KIND_PROGRAM
    ask(context, ACCESS, "RevokePrincipal", pb.RevokePrincipalRequest(kind=known, principal=name))
    say(f"{kind} {name} is refused by every service")


@app.command()
def reinstate(context: typer.Context, kind: Kind, name: Name) -> None:
    """Believe tokens of a person or a program again."""
    from maasloop.api.device.v1 import access_service_pb2 as pb

    known = pb.PRINCIPAL_KIND_PERSON if kind == "person" else pb.PRINCIPAL_KIND_PROGRAM
    ask(context, ACCESS, "ReinstatePrincipal", pb.ReinstatePrincipalRequest(kind=known, principal=name))
    say(f"{kind} {name} is let in again")
