"""Writes ``permissions.md``: what each method asks of its caller, and which roles have it."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import ServiceDescriptorProto

from generators.descriptors import File
from generators.pages import code, page, table
from maasloop.api.common.v1 import permission_pb2
from maasloop.identity.roles import Roles

_INTRODUCTION = """
Every method declares one permission, and where its request says what the call is about. A caller needs a role that holds
it in every district and domain of the call; a call that names no district concerns the whole city. *own* means: for the
caller's own data only. Services are not judged by roles but by the list of methods that each of them calls.
"""


def permissions_page(files: list[File]) -> str:
    """Return the page."""
    roles = Roles.load()
    held = (
        (code(name), role.title, ", ".join(sorted(role.domains)) if role.domains else "all")
        for name, role in roles.table.items()
    )
    tables = (
        table(("role", "is", "domains"), held),
        table(("method", "permission", "about", "domain", "roles"), _rows(files, roles)),
    )
    source = "`proto/` and `libs/identity/src/maasloop/identity/roles.toml`"
    return page("Permissions", source, _INTRODUCTION, *tables)


def _rows(files: list[File], roles: Roles) -> Iterator[tuple[str, ...]]:
    for file in files:
        for service in file.services():
            assert isinstance(service.descriptor, ServiceDescriptorProto)
            for method in service.descriptor.method:
                asked = method.options.Extensions[permission_pb2.permission]
                about = ", ".join(map(code, asked.objects)) or ("what all share" if asked.shared else "the whole city")
                yield (
                    f"{service.descriptor.name}.{method.name}",
                    code(asked.name),
                    "" if asked.anonymous else about,
                    asked.domain or (f"by {code(asked.domain_path)}" if asked.domain_path else "any"),
                    "anybody: the request carries its proof" if asked.anonymous else _holders(roles, asked.name),
                )


def _holders(roles: Roles, permission: str) -> str:
    names = []
    for name in roles.holders(permission):
        own = permission in roles.table[name].own and permission not in roles.table[name].permissions
        names.append(f"{name} (own)" if own else name)
    return ", ".join(names)
