"""The gRPC door for policies."""

from dataclasses import replace
from typing import Any

import grpc

from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.policy import Policy
from maasloop.actuation.entrypoints import messages
from maasloop.actuation.handlers.change_policy import ChangePolicy
from maasloop.actuation.ports import Records
from maasloop.api.command.v1 import policy_service_pb2 as pb
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceServicer, add_PolicyServiceServicer_to_server
from maasloop.core.clock import Clock
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import DistrictName, parse_name, require_id
from maasloop.core.reasons import Reason
from maasloop.rpc.requests import mask_of, paging
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import us_from_timestamp

type Context = grpc.aio.ServicerContext[Any, Any]

_CHANGEABLE = frozenset(
    {
        "display_name",
        "observed_properties",
        "on_condition",
        "off_condition",
        "hold",
        "scope",
        "on_level_percent",
        "off_level_percent",
    }
)
_FIELDS = {"hold": "hold_us"}
"""Fields whose name in the domain differs."""


class PolicyDoor(PolicyServiceServicer):
    """PolicyService."""

    def __init__(self, city: City, change: ChangePolicy, records: Records, clock: Clock) -> None:
        """Take the use cases."""
        self._city = city
        self._change = change
        self._records = records
        self._clock = clock

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_PolicyServiceServicer_to_server(self, server.registrar)

    async def CreatePolicy(self, request: pb.CreatePolicyRequest, context: Context) -> pb.Policy:
        """Create a policy in shadow mode."""
        name = require_id(request.policy_id, "policy_id")
        policy = messages.policy_read(name, request.policy)
        return messages.policy_message(await self._change.create(policy, self._clock.now_us()))

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Context) -> pb.Policy:
        """Return a policy."""
        return messages.policy_message(self._change.known(*parse_name(request.name, "policies")))

    async def ListPolicies(self, request: pb.ListPoliciesRequest, context: Context) -> pb.ListPoliciesResponse:
        """Return a page of policies, ordered by name."""
        district = DistrictName.parse(request.parent).district if request.parent else ""
        page = paging(request, parent=request.parent)
        after = page.after_id
        known = self._city.policies
        names = [name for name in sorted(known) if name > after and district in {"", known[name].district}]
        shown = names[: page.limit]
        return pb.ListPoliciesResponse(
            policies=[messages.policy_message(self._city.policies[name]) for name in shown],
            next_page_token=page.next_token(shown[-1:], more=len(names) > page.limit),
        )

    async def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: Context) -> pb.Policy:
        """Make a new version with the fields of the mask."""
        (name,) = parse_name(request.policy.name, "policies")
        known = self._change.known(name)
        fields = mask_of(request.update_mask, request.policy) or _set_fields(request.policy)
        refused = sorted(fields - _CHANGEABLE)
        if refused:
            message = f"update_mask names fields that do not change: {', '.join(refused)}"
            raise InvalidArgument(
                Reason.REQUEST_INVALID, message, {"field": "update_mask", "rule": "update_mask.known"}
            )
        changed = _merged(known, messages.policy_read(name, request.policy), fields)
        stored = await self._change.update(changed, etag=request.policy.etag, wall_us=self._clock.now_us())
        return messages.policy_message(stored)

    async def SetPolicyMode(self, request: pb.SetPolicyModeRequest, context: Context) -> pb.Policy:
        """Switch between off, shadow and active."""
        (name,) = parse_name(request.name, "policies")
        mode = messages.mode_read(request.mode)
        return messages.policy_message(await self._change.set_mode(name, mode, self._clock.now_us()))

    async def GetShadowReport(self, request: pb.GetShadowReportRequest, context: Context) -> pb.ShadowReport:
        """Return what a policy would have done."""
        policy = self._change.known(*parse_name(request.name, "policies"))
        start_us = us_from_timestamp(request.start_time, "start_time") if request.HasField("start_time") else 0
        end_us = us_from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else 2**62
        counts = await self._records.shadow_counts(policy.issuer, start_us, end_us)
        return pb.ShadowReport(
            policy=request.name,
            switched_on_count=counts.switched_on,
            switched_off_count=counts.switched_off,
            command_count=counts.commands,
            refusals_by_reason=counts.refusals,
        )


def _set_fields(policy: pb.Policy) -> frozenset[str]:
    return frozenset(field.name for field, _ in policy.ListFields()) & _CHANGEABLE


def _merged(known: Policy, given: Policy, fields: frozenset[str]) -> Policy:
    names = [_FIELDS.get(field, field) for field in fields]
    return replace(known, **{name: getattr(given, name) for name in names})
