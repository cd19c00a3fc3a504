"""Demos leave their data for people to look at, but nothing that acts: no policy, no controller, no alert rule.

Every demo has a district of its own, named by scenario and time, so that what an interrupted one left is recognised.
"""

import re
from datetime import datetime

from maasloop.api.command.v1.command_service_pb2 import ReleaseDistrictRequest
from maasloop.api.command.v1.command_service_pb2_grpc import CommandServiceStub
from maasloop.api.command.v1.policy_service_pb2 import ListPoliciesRequest, Policy, SetPolicyModeRequest
from maasloop.api.command.v1.policy_service_pb2_grpc import PolicyServiceStub
from maasloop.api.notification.v1.notification_service_pb2 import DeleteAlertRuleRequest, ListAlertRulesRequest
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.core.ids import DistrictName, to_id
from maasloop.rpc.client import call
from maasloop.twin.demo.places import Connections

PAGE = 1_000
SCENARIO_LENGTH_MAX = 40
_DISTRICT = re.compile(r"[a-z0-9-]+-\d{4}-\d{6}")


def district_name(scenario: str, now: datetime) -> str:
    """Name the district of one demo."""
    return f"{to_id(scenario)[:SCENARIO_LENGTH_MAX].rstrip('-')}-{now:%m%d-%H%M%S}"


async def quiet_demos(connections: Connections) -> None:
    """Switch off what demos left in force, in all their districts."""
    policies, commands = PolicyServiceStub(connections.actuation), CommandServiceStub(connections.actuation)
    for policy in (await call(policies.ListPolicies, ListPoliciesRequest(page_size=PAGE))).policies:
        if _DISTRICT.fullmatch(policy.district) and policy.mode != Policy.Mode.MODE_OFF:
            off = SetPolicyModeRequest(name=policy.name, mode=Policy.Mode.MODE_OFF)
            await call(policies.SetPolicyMode, off)
            parent = str(DistrictName(policy.district))
            release = ReleaseDistrictRequest(name=parent, justification="The demo is over.")
            await call(commands.ReleaseDistrict, release)
    notification = NotificationServiceStub(connections.notification)
    for rule in (await call(notification.ListAlertRules, ListAlertRulesRequest(page_size=PAGE))).alert_rules:
        if _DISTRICT.fullmatch(rule.district):
            await call(notification.DeleteAlertRule, DeleteAlertRuleRequest(name=rule.name))
