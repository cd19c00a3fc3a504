"""The gRPC door of credentials."""

from datetime import datetime, timedelta

import grpc.aio

from maasloop.api.device.v1 import credential_pb2, device_pb2
from maasloop.api.device.v1 import credential_service_pb2 as pb
from maasloop.api.device.v1.credential_service_pb2_grpc import (
    CredentialServiceServicer,
    add_CredentialServiceServicer_to_server,
)
from maasloop.core.errors import FailedPrecondition
from maasloop.core.ids import DeviceName, DistrictName, parse_name, require_id
from maasloop.core.reasons import Reason
from maasloop.device_registry.domain.credential import (
    Credential,
    Holder,
    HolderKind,
    Method,
    device_holder,
    digest,
    new_password,
)
from maasloop.device_registry.domain.refusals import Refusals
from maasloop.device_registry.domain.resource import Key, Kind, refuse
from maasloop.device_registry.entrypoints.messages import device_message
from maasloop.device_registry.handlers.close_connections import CloseConnections
from maasloop.device_registry.handlers.create_credential import CreateCredential
from maasloop.device_registry.handlers.enrol_device import EnrolDevice
from maasloop.device_registry.handlers.fetch_command_keys import FetchCommandKeys
from maasloop.device_registry.handlers.generate_claims import GenerateClaims
from maasloop.device_registry.handlers.list_credentials import ListCredentials
from maasloop.device_registry.handlers.quarantine_device import QuarantineDevice
from maasloop.device_registry.handlers.release_device import ReleaseDevice
from maasloop.device_registry.handlers.revoke_credential import RevokeCredential
from maasloop.device_registry.handlers.rotate_credential import RotateCredential
from maasloop.device_registry.ports import DeviceAuthority
from maasloop.identity.nats.keys import Role, role_of
from maasloop.rpc.requests import paging, request_of
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import timestamp_from

type Context = grpc.aio.ServicerContext[object, object]

NETWORK_SERVERS = "networkServers"
CREDENTIALS = "credentials"
OVERLAP = timedelta(hours=1)


class CredentialDoor(CredentialServiceServicer):
    """CredentialService."""

    def __init__(
        self,
        *,
        generate_claims: GenerateClaims,
        fetch_command_keys: FetchCommandKeys,
        enrol_device: EnrolDevice,
        rotate_credential: RotateCredential,
        create_credential: CreateCredential,
        list_credentials: ListCredentials,
        revoke_credential: RevokeCredential,
        quarantine_device: QuarantineDevice,
        release_device: ReleaseDevice,
        close_connections: CloseConnections | None,
        authority: DeviceAuthority | None,
    ) -> None:
        """``close_connections`` is missing where no broker asks us, ``authority`` where the city has none for devices."""
        self._generate_claims = generate_claims
        self._fetch_command_keys = fetch_command_keys
        self._enrol_device = enrol_device
        self._rotate_credential = rotate_credential
        self._create_credential = create_credential
        self._list_credentials = list_credentials
        self._revoke_credential = revoke_credential
        self._quarantine_device = quarantine_device
        self._release_device = release_device
        self._close_connections = close_connections
        self._authority = authority

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_CredentialServiceServicer_to_server(self, server.registrar)

    async def GenerateEnrolmentClaims(
        self, request: pb.GenerateEnrolmentClaimsRequest, context: Context
    ) -> pb.GenerateEnrolmentClaimsResponse:
        """Make claims."""
        district = DistrictName.parse(request.parent).district
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else timedelta()
        made = await self._generate_claims(
            district, list(request.devices), request.count, ttl=ttl, rate_per_minute=request.rate_per_minute
        )
        claims = [
            credential_pb2.EnrolmentClaim(
                claim=secret,
                device=str(device_holder(district, claim.device)) if claim.device else "",
                expire_time=timestamp_from(claim.expire_time),
            )
            for secret, claim in made
        ]
        return pb.GenerateEnrolmentClaimsResponse(claims=claims)

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> credential_pb2.IssuedCredential:
        """Give a device its credential."""
        holder = device_holder(*DeviceName.parse(request.name))
        password, chain = "", ""
        match request.WhichOneof("proof"):
            case "nkey":
                kept = _nkey(request.nkey)
                credential = await self._enrol_device(holder, request.claim, Method.NKEY, lambda _now: (kept, None))
            case "csr":
                credential, chain = await self._certified(holder, request)
            case _:
                password = new_password()
                kept = digest(password)
                credential = await self._enrol_device(holder, request.claim, Method.PASSWORD, lambda _now: (kept, None))
        return _issued(credential, password=password, chain=chain, command_keys=self._command_keys())

    async def _certified(self, holder: Holder, request: pb.EnrolRequest) -> tuple[Credential, str]:
        authority = self._authority
        if authority is None:
            message = "there is no authority for certificates of devices here"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "no device authority"})
        chains: list[str] = []

        def sign(now: datetime) -> tuple[bytes, datetime]:
            chain, kept, end = authority.sign(request.csr, holder, now)
            chains.append(chain)
            return kept, end

        credential = await self._enrol_device(holder, request.claim, Method.CERTIFICATE, sign)
        return credential, chains[-1]

    async def RotateCredential(
        self, request: pb.RotateCredentialRequest, context: Context
    ) -> credential_pb2.IssuedCredential:
        """Give the holder of a password another one."""
        holder = device_holder(*DeviceName.parse(request.name))
        overlap = request.overlap.ToTimedelta() if request.HasField("overlap") else OVERLAP
        password = new_password()
        credential = await self._rotate_credential(holder, request.password, password, overlap)
        return _issued(credential, password=password, command_keys=self._command_keys())

    async def FetchCommandKeys(
        self, request: pb.FetchCommandKeysRequest, context: Context
    ) -> credential_pb2.CommandKeys:
        """Tell the public keys of commands."""
        jwk_set, end = self._fetch_command_keys()
        return credential_pb2.CommandKeys(jwk_set=jwk_set, expire_time=timestamp_from(end))

    def _command_keys(self) -> credential_pb2.CommandKeys | None:
        """Return what a new credential comes with; a device can do without and ask later."""
        try:
            jwk_set, end = self._fetch_command_keys()
        except FailedPrecondition:
            return None
        return credential_pb2.CommandKeys(jwk_set=jwk_set, expire_time=timestamp_from(end))

    async def GenerateNetworkServerCredential(
        self, request: pb.GenerateNetworkServerCredentialRequest, context: Context
    ) -> credential_pb2.IssuedCredential:
        """Give a network server a password."""
        id_ = require_id(request.network_server_id, "network_server_id")
        password = new_password()
        credential = await self._create_credential(Holder(HolderKind.NETWORK_SERVER, "", id_), password)
        return _issued(credential, password=password)

    async def ListCredentials(self, request: pb.ListCredentialsRequest, context: Context) -> pb.ListCredentialsResponse:
        """List the credentials of a holder."""
        holder = _holder(request.parent)
        page = paging(request, parent=request.parent)
        after = page.after_id
        found = await self._list_credentials(holder, after=after, limit=page.limit)
        last = found.items[-1].id if found.items else ""
        return pb.ListCredentialsResponse(
            credentials=[_message(each) for each in found.items],
            next_page_token=page.next_token([last], more=found.more),
            refusals=_refusals(await self._list_credentials.refusals(holder)),
        )

    async def RevokeCredential(
        self, request: pb.RevokeCredentialRequest, context: Context
    ) -> credential_pb2.Credential:
        """End a credential, and close what rests on it."""
        parent, _, last = request.name.rpartition(f"/{CREDENTIALS}/")
        holder = _holder(parent)
        credential = await self._revoke_credential(holder, require_id(last, "name"))
        await self._close(holder)
        return _message(credential)

    async def QuarantineDevice(self, request: pb.QuarantineDeviceRequest, context: Context) -> device_pb2.Device:
        """Take trust from a device, and close its connections."""
        name = DeviceName.parse(request.name)
        identity = request_of(request, "QuarantineDevice")
        device = await self._quarantine_device(Key(Kind.DEVICE, *name), request.etag, identity)
        await self._close(device_holder(*name))
        return device_message(device)

    async def ReleaseDevice(self, request: pb.ReleaseDeviceRequest, context: Context) -> device_pb2.Device:
        """Trust a device again."""
        key = Key(Kind.DEVICE, *DeviceName.parse(request.name))
        identity = request_of(request, "ReleaseDevice")
        return device_message(await self._release_device(key, request.etag, identity))

    async def _close(self, holder: Holder) -> None:
        if self._close_connections is not None:
            await self._close_connections(holder)


def _holder(name: str) -> Holder:
    if name.startswith(f"{NETWORK_SERVERS}/"):
        return Holder(HolderKind.NETWORK_SERVER, "", parse_name(name, NETWORK_SERVERS)[0])
    return device_holder(*DeviceName.parse(name))


def _nkey(public_key: str) -> bytes:
    if role_of(public_key) is not Role.USER:
        raise refuse("nkey", "the public nkey of a user (U...) is needed", "nkey.user")
    return public_key.encode()


def _message(credential: Credential) -> credential_pb2.Credential:
    return credential_pb2.Credential(
        name=f"{credential.holder}/{CREDENTIALS}/{credential.id}",
        method=credential_pb2.Credential.Method.Value(f"METHOD_{credential.method}"),
        create_time=timestamp_from(credential.create_time),
        expire_time=timestamp_from(credential.expire_time) if credential.expire_time else None,
        revoke_time=timestamp_from(credential.revoke_time) if credential.revoke_time else None,
    )


def _refusals(found: Refusals | None) -> credential_pb2.ConnectRefusals | None:
    if found is None:
        return None
    return credential_pb2.ConnectRefusals(
        count=found.count,
        hour_count=found.hour_count,
        last_time=timestamp_from(found.last_time),
        last_reason=found.last_reason,
    )


def _issued(
    credential: Credential,
    *,
    password: str = "",
    chain: str = "",
    command_keys: credential_pb2.CommandKeys | None = None,
) -> credential_pb2.IssuedCredential:
    user_name = credential.holder.user_name
    return credential_pb2.IssuedCredential(
        credential=_message(credential),
        user_name=user_name,
        client_id=user_name,
        password=password,
        certificate_chain=chain,
        command_keys=command_keys,
    )
