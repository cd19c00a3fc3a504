"""What needs a second person, as messages of the contract."""

from maasloop.actuation.domain.approval import Approval, alone
from maasloop.actuation.entrypoints import setpoints
from maasloop.api.command.v1 import command_service_pb2 as pb
from maasloop.core.ids import DistrictName, require_id
from maasloop.identity.principals import Kind, Principal
from maasloop.rpc.times import timestamp_from_us

PERSONS = frozenset({Kind.PERSON, Kind.OPERATOR})
"""Who can be a second person: no program agrees to anything."""


def read_approval(request: pb.RequestApprovalRequest, requester: Principal | None, wall_us: int) -> Approval:
    """Return what is asked for."""
    return Approval(
        id=request.request_id.lower(),
        district=DistrictName.parse(request.parent).district,
        device=require_id(request.approval.device, "approval.device"),
        setpoint=alone(setpoints.from_message(request.approval.setpoint)),
        justification=request.approval.justification,
        requester=str(requester or ""),
        create_time_us=wall_us,
    )


def approval_message(approval: Approval) -> pb.Approval:
    """Return a request as callers see it."""
    return pb.Approval(
        name=f"districts/{approval.district}/approvals/{approval.id}",
        device=approval.device,
        setpoint=setpoints.to_message(approval.setpoint),
        justification=approval.justification,
        requester=approval.requester,
        approver=approval.approver,
        create_time=timestamp_from_us(approval.create_time_us),
        expire_time=timestamp_from_us(approval.expire_us),
    )
