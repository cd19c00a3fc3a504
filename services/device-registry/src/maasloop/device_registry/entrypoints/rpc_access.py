"""The gRPC door of keys and revocations."""

import grpc.aio

from maasloop.api.device.v1 import access_service_pb2 as pb
from maasloop.api.device.v1.access_service_pb2_grpc import (
    AccessServiceServicer,
    add_AccessServiceServicer_to_server,
)
from maasloop.core.domains import Domain
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.api_key import ApiKey, RoleGrant
from maasloop.device_registry.handlers.exchange_api_key import ExchangeApiKey
from maasloop.device_registry.handlers.generate_api_key import GenerateApiKey
from maasloop.device_registry.handlers.list_api_keys import ListApiKeys
from maasloop.device_registry.handlers.revoke_api_key import RevokeApiKey
from maasloop.device_registry.handlers.revoke_principal import RevokePrincipal
from maasloop.identity.principals import Kind
from maasloop.identity.roles import Roles
from maasloop.rpc.requests import paging
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import timestamp_from

type Context = grpc.aio.ServicerContext[object, object]

API_KEYS = "apiKeys/"
_KINDS = {pb.PRINCIPAL_KIND_PERSON: Kind.PERSON, pb.PRINCIPAL_KIND_PROGRAM: Kind.PROGRAM}


class AccessDoor(AccessServiceServicer):
    """AccessService."""

    def __init__(
        self,
        *,
        generate_api_key: GenerateApiKey,
        list_api_keys: ListApiKeys,
        revoke_api_key: RevokeApiKey,
        exchange_api_key: ExchangeApiKey,
        revoke_principal: RevokePrincipal,
        roles: Roles,
    ) -> None:
        """``roles`` are those that a key may have."""
        self._generate_api_key = generate_api_key
        self._list_api_keys = list_api_keys
        self._revoke_api_key = revoke_api_key
        self._exchange_api_key = exchange_api_key
        self._revoke_principal = revoke_principal
        self._roles = roles

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_AccessServiceServicer_to_server(self, server.registrar)

    async def GenerateApiKey(self, request: pb.GenerateApiKeyRequest, context: Context) -> pb.GenerateApiKeyResponse:
        """Make a key."""
        program = require_id(request.api_key.program, "api_key.program")
        grants = [self._grant(grant) for grant in request.api_key.grants]
        key, secret = await self._generate_api_key(program, grants, request.ttl.ToTimedelta())
        return pb.GenerateApiKeyResponse(api_key=_message(key), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """List keys."""
        asked = paging(request)
        page = await self._list_api_keys(after=asked.after_id, limit=asked.limit)
        token = asked.next_token([page.items[-1].id], more=page.more) if page.items else ""
        return pb.ListApiKeysResponse(api_keys=map(_message, page.items), next_page_token=token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.ApiKey:
        """End a key."""
        key_id = request.name.removeprefix(API_KEYS)
        if not request.name.startswith(API_KEYS):
            pattern = "apiKeys/{api_key}"
            raise InvalidArgument(Reason.NAME_MALFORMED, f"a key is named {pattern}", {"pattern": pattern})
        return _message(await self._revoke_api_key(require_id(key_id, "name")))

    async def ExchangeApiKey(self, request: pb.ExchangeApiKeyRequest, context: Context) -> pb.ExchangeApiKeyResponse:
        """Give a token for a secret."""
        token, expire_time = await self._exchange_api_key(request.secret)
        return pb.ExchangeApiKeyResponse(access_token=token, expire_time=timestamp_from(expire_time))

    async def RevokePrincipal(self, request: pb.RevokePrincipalRequest, context: Context) -> pb.RevokePrincipalResponse:
        """Refuse somebody."""
        await self._revoke_principal(_KINDS[request.kind], request.principal, reinstate=False)
        return pb.RevokePrincipalResponse()

    async def ReinstatePrincipal(
        self, request: pb.ReinstatePrincipalRequest, context: Context
    ) -> pb.ReinstatePrincipalResponse:
        """Believe somebody again."""
        await self._revoke_principal(_KINDS[request.kind], request.principal, reinstate=True)
        return pb.ReinstatePrincipalResponse()

    def _grant(self, grant: pb.RoleGrant) -> RoleGrant:
        if grant.role not in self._roles.table:
            raise _wrong("api_key.grants.role", f"a role is one of {', '.join(self._roles.table)}")
        if bool(grant.districts) == grant.all_districts:
            raise _wrong("api_key.grants.districts", "a grant holds in some districts, or has all_districts")
        for domain in grant.domains:
            if domain not in set(Domain):
                raise _wrong("api_key.grants.domains", f"a domain is one of {', '.join(Domain)}")
        districts = frozenset(require_id(district, "api_key.grants.districts") for district in grant.districts)
        return RoleGrant(grant.role, None if grant.all_districts else districts, frozenset(grant.domains) or None)


def _wrong(field: str, message: str) -> InvalidArgument:
    return InvalidArgument(Reason.REQUEST_INVALID, message, {"field": field, "rule": "access.grant"})


def _message(key: ApiKey) -> pb.ApiKey:
    grants = [
        pb.RoleGrant(
            role=grant.role,
            districts=sorted(grant.districts or ()),
            all_districts=grant.districts is None,
            domains=sorted(grant.domains or ()),
        )
        for grant in key.grants
    ]
    message = pb.ApiKey(
        name=f"{API_KEYS}{key.id}",
        program=key.program,
        grants=grants,
        create_time=timestamp_from(key.create_time),
        expire_time=timestamp_from(key.expire_time),
    )
    if key.revoke_time is not None:
        message.revoke_time.CopyFrom(timestamp_from(key.revoke_time))
    return message
