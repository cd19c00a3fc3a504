"""The gRPC door for commands, overrides and the release of districts."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.issuing import Request
from maasloop.actuation.domain.override import Override
from maasloop.actuation.entrypoints import approvals, messages, setpoints, signal_decisions
from maasloop.actuation.entrypoints.command_feed import CommandFeed
from maasloop.actuation.entrypoints.steps import Steps
from maasloop.actuation.handlers.cancel_command import CancelCommand
from maasloop.actuation.handlers.end_override import EndOverride
from maasloop.actuation.handlers.grant_approval import GrantApproval
from maasloop.actuation.handlers.issue_command import IssueCommand
from maasloop.actuation.handlers.release_district import ReleaseDistrict
from maasloop.actuation.handlers.request_approval import RequestApproval
from maasloop.actuation.handlers.set_override import SetOverride
from maasloop.actuation.ports import Approvals, Records
from maasloop.api.command.v1 import command_pb2, signal_decision_pb2
from maasloop.api.command.v1 import command_service_pb2 as pb
from maasloop.api.command.v1.command_service_pb2_grpc import (
    CommandServiceServicer,
    add_CommandServiceServicer_to_server,
)
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.ids import CommandName, DistrictName, parse_name, require_id
from maasloop.core.reasons import Reason
from maasloop.rpc.authentication import caller
from maasloop.rpc.requests import paging, request_digest
from maasloop.rpc.server import RpcServer
from maasloop.rpc.times import us_from_timestamp

type Context = grpc.aio.ServicerContext[Any, Any]

CALLER = "callers/unidentified"
"""Who asks where callers are not identified."""
"""Until identity arrives nobody knows who calls; the request id is the cause."""


class CommandDoor(CommandServiceServicer):
    """CommandService."""

    def __init__(
        self,
        steps: Steps,
        records: Records,
        feed: CommandFeed,
        *,
        issue: IssueCommand,
        cancel: CancelCommand,
        set_override: SetOverride,
        end_override: EndOverride,
        release: ReleaseDistrict,
        request_approval: RequestApproval,
        grant_approval: GrantApproval,
        approvals: Approvals,
    ) -> None:
        """Take the use cases."""
        self._steps = steps
        self._records = records
        self._feed = feed
        self._issue = issue
        self._cancel = cancel
        self._set_override = set_override
        self._end_override = end_override
        self._release = release
        self._request_approval = request_approval
        self._grant_approval = grant_approval
        self._approvals = approvals

    def register(self, server: RpcServer) -> None:
        """Serve on this server."""
        add_CommandServiceServicer_to_server(self, server.registrar)

    async def IssueCommand(self, request: pb.IssueCommandRequest, context: Context) -> command_pb2.Command:
        """Issue a command; a refusal comes back as one."""
        district, moment = self._now(DistrictName.parse(request.parent).district)
        wish = Request(
            device=require_id(request.command.device, "command.device"),
            setpoint=setpoints.from_message(request.command.setpoint),
            authority=messages.authority_read(request.command.authority),
            issuer=str(caller() or CALLER),
            cause=f"requests/{request.request_id}",
            seed=request.request_id,
            not_before_us=_us(request.command, "not_before_time"),
            expire_us=_us(request.command, "expire_time"),
        )
        command = await self._issue(district, wish, moment)
        await self._steps.send([command])
        return messages.command_message(district.commands.get(command.id, command))

    async def CancelCommand(self, request: pb.CancelCommandRequest, context: Context) -> command_pb2.Command:
        """Withdraw a command."""
        name = CommandName.parse(request.name)
        district, moment = self._now(name.district)
        command, batch = await self._cancel(district, name.command, moment)
        await self._steps.send(batch.accepted())
        return messages.command_message(command)

    async def GetCommand(self, request: pb.GetCommandRequest, context: Context) -> command_pb2.Command:
        """Return a command."""
        name = CommandName.parse(request.name)
        district = self._steps.city.districts.get(name.district)
        command = district.commands.get(name.command) if district is not None else None
        command = command or await self._records.command(name.district, name.command)
        if command is None:
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no command {request.name}", {"name": request.name})
        return messages.command_message(command)

    async def ListCommands(self, request: pb.ListCommandsRequest, context: Context) -> pb.ListCommandsResponse:
        """Return a page of commands, newest first."""
        district = DistrictName.parse(request.parent).district
        page = paging(request, parent=request.parent, device=request.device, state=request.state)
        after = (int(page.position[0]), page.position[1]) if page.position else None
        found = await self._records.commands(
            district, device=request.device, state=messages.state_read(request.state), after=after, limit=page.limit
        )
        position = [str(part) for part in found.last or ()]
        return pb.ListCommandsResponse(
            commands=[messages.command_message(command) for command in found.commands],
            next_page_token=page.next_token(position, more=found.last is not None),
        )

    async def WatchCommands(
        self, request: pb.WatchCommandsRequest, context: Context
    ) -> AsyncIterator[pb.WatchCommandsResponse]:
        """Send each change of a command."""
        district = DistrictName.parse(request.parent).district
        now_us = self._steps.clock.now_us()
        async for command, token in self._feed.watch(district, request.device, request.resume_token, now_us):
            answer = pb.WatchCommandsResponse(resume_token=token)
            if command is not None:
                answer.command.CopyFrom(messages.command_message(command))
            yield answer

    async def GetSignalDecision(
        self, request: pb.GetSignalDecisionRequest, context: Context
    ) -> signal_decision_pb2.SignalDecision:
        """Return what was decided about a junction for a second, and why."""
        name, device, second = signal_decisions.parse(request.name)
        near = await self._records.signal_decisions_near(name, second)
        decision = near.get(second, {}).get(device)
        if decision is None:
            raise signal_decisions.missing(request.name, device, self._steps.city.districts.get(name), near)
        command = await self._records.command(name, decision.command_id) if decision.command_id else None
        return signal_decisions.to_message(decision, command)

    async def SetOverride(self, request: pb.SetOverrideRequest, context: Context) -> pb.Override:
        """Hold a setpoint on a device or a group."""
        district, moment = self._now(DistrictName.parse(request.parent).district)
        override, batch = await self._set_override(district, _override(district.id, request, moment), moment)
        await self._steps.send(batch.accepted())
        return messages.override_message(override)

    async def EndOverride(self, request: pb.EndOverrideRequest, context: Context) -> pb.Override:
        """End an override before its time."""
        name, override_id = parse_name(request.name, "districts", "overrides")
        district, moment = self._now(name)
        override, batch = await self._end_override(district, override_id, moment)
        await self._steps.send(batch.accepted())
        return messages.override_message(override)

    async def ListOverrides(self, request: pb.ListOverridesRequest, context: Context) -> pb.ListOverridesResponse:
        """Return a page of overrides, those that were not ended first."""
        district = DistrictName.parse(request.parent).district
        page = paging(request, parent=request.parent)
        after = (int(page.position[0]), int(page.position[1]), page.position[2]) if page.position else None
        found = await self._records.overrides(district, after=after, limit=page.limit + 1)
        shown = found[: page.limit]
        position = [str(int(shown[-1].ended_time_us != 0)), str(-shown[-1].end_us), shown[-1].id] if shown else []
        return pb.ListOverridesResponse(
            overrides=[messages.override_message(override) for override in shown],
            next_page_token=page.next_token(position, more=len(found) > page.limit),
        )

    async def ReleaseDistrict(self, request: pb.ReleaseDistrictRequest, context: Context) -> pb.ReleaseDistrictResponse:
        """Return everything in a district to local control, or take it up again."""
        name = DistrictName.parse(request.name).district
        district = self._known(name)
        moment = self._steps.moment(district)
        outcome = await self._release(district, request.justification, resume=request.resume, moment=moment)
        await self._steps.send(outcome.batch.accepted())
        return pb.ReleaseDistrictResponse(
            released=outcome.released,
            superseded_count=outcome.superseded,
            ended_override_count=outcome.ended_overrides,
        )

    async def RequestApproval(self, request: pb.RequestApprovalRequest, context: Context) -> pb.Approval:
        """Ask for what needs a second person."""
        approval = approvals.read_approval(request, caller(), self._steps.clock.now_us())
        stored = await self._request_approval(self._known(approval.district), approval)
        return approvals.approval_message(stored)

    async def GrantApproval(self, request: pb.GrantApprovalRequest, context: Context) -> command_pb2.Command:
        """Agree, and issue the command."""
        name, approval = parse_name(request.name, "districts", "approvals")
        district, moment = self._now(name)
        who = caller()
        by_person = who is not None and who.kind in approvals.PERSONS
        command = await self._grant_approval(district, approval, str(who or CALLER), moment, by_person=by_person)
        await self._steps.send([command])
        return messages.command_message(district.commands.get(command.id, command))

    async def ListApprovals(self, request: pb.ListApprovalsRequest, context: Context) -> pb.ListApprovalsResponse:
        """Return what waits or waited for a second person."""
        district = DistrictName.parse(request.parent).district
        page = paging(request, parent=request.parent)
        after = (int(page.position[0]), page.position[1]) if page.position else None
        found = await self._approvals.newest(district, after=after, limit=page.limit + 1)
        shown = found[: page.limit]
        position = [str(shown[-1].create_time_us), shown[-1].id] if shown else []
        return pb.ListApprovalsResponse(
            approvals=[approvals.approval_message(one) for one in shown],
            next_page_token=page.next_token(position, more=len(found) > page.limit),
        )

    def _known(self, name: str) -> District:
        district = self._steps.city.districts.get(name)
        if district is None:
            message = f"no district {name} is known here"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": f"districts/{name}"})
        return district

    def _now(self, name: str) -> tuple[District, Moment]:
        district = self._known(name)
        moment = self._steps.moment(district)
        if moment.street_us == 0:
            message = f"the clock of district {name} was not heard yet"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": "CLOCK_SILENT"})
        return district, moment


def _override(district: str, request: pb.SetOverrideRequest, moment: Moment) -> Override:
    wish = request.override
    return Override(
        id=request.request_id.lower(),
        district=district,
        device=require_id(wish.device, "override.device") if wish.device else "",
        group=require_id(wish.device_group, "override.device_group") if wish.device_group else "",
        setpoint=setpoints.from_message(wish.setpoint),
        authority=messages.authority_read(wish.authority),
        end_us=us_from_timestamp(wish.end_time, "override.end_time"),
        justification=wish.justification,
        create_time_us=moment.wall_us,
        request_digest=request_digest(request).hex()[:16],
    )


def _us(command: command_pb2.Command, field: str) -> int:
    return us_from_timestamp(getattr(command, field), f"command.{field}") if command.HasField(field) else 0  # type: ignore[arg-type]  # a field of that name is a timestamp
