"""What a command asks of a service, and what it makes of the answer, over a real channel."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from maasloop.api.command.v1 import command_pb2, command_service_pb2, policy_service_pb2
from maasloop.api.command.v1.signal_plan_pb2 import OperatingMode
from maasloop.api.notification.v1 import alert_pb2
from maasloop.api.notification.v1 import notification_service_pb2 as notification
from maasloop.api.observation.v1 import accounts_pb2, ingest_service_pb2, observation_pb2, series_service_pb2
from maasloop.core.errors import FailedPrecondition, NotFound

LAMP = "districts/noord/devices/lamp-1"


def test_a_command_is_issued(maasloop: Any, contract: Any) -> None:
    """Level, ramp and authority travel; a refusal by the kernel is printed and ends with status 1."""
    refused = command_pb2.Command(
        name="districts/noord/commands/c",
        state=command_pb2.Command.STATE_REFUSED,
        reason="BELOW_FLOOR",
        detail="5 % is below 20 %",
    )
    contract.answers["IssueCommand"] = [refused]
    ended = maasloop(*contract.options(), "commands", "issue", "noord/lamp-1", "--level", "5", "--ramp", "3")

    ((_, request),) = contract.requests
    assert (request.parent, request.command.device) == ("districts/noord", "lamp-1")
    assert request.command.setpoint.light_level == command_pb2.LightLevel(level_percent=5, ramp_s=3)
    assert request.command.authority == command_pb2.AUTHORITY_OPERATOR
    assert request.request_id
    assert "BELOW_FLOOR" in ended.out
    assert (ended.status, ended.error) == (1, "maasloop: refused: BELOW_FLOOR: 5 % is below 20 %\n")


def test_any_setpoint_can_be_given_as_json(maasloop: Any, contract: Any) -> None:
    """What has no options of its own is told in the words of the contract; a word that is none is a wrong usage."""
    contract.answers["IssueCommand"] = [command_pb2.Command(state=command_pb2.Command.STATE_ACCEPTED)]
    asked = "commands", "issue", "noord/tlc-1", "--setpoint"
    ended = maasloop(*contract.options(), *asked, '{"signalPlan": {"plan": 2, "offsetS": 0}}')

    ((_, request),) = contract.requests
    assert ended.status == 0
    assert request.command.setpoint.signal_plan.plan == 2
    assert request.command.setpoint.signal_plan.HasField("offset_s")
    assert maasloop(*contract.options(), *asked, '{"colour": "red"}').status == 2


def test_two_persons_darken_a_controller(maasloop: Any, contract: Any) -> None:
    """What one asks for another one grants; the command that comes of it is printed."""
    name = "districts/noord/approvals/a"
    contract.answers["RequestApproval"] = [command_service_pb2.Approval(name=name)]
    contract.answers["GrantApproval"] = [command_pb2.Command(state=command_pb2.Command.STATE_ACCEPTED)]
    dark = "--setpoint", '{"operatingMode": {"mode": "MODE_DARK"}}', "--why", "cables"
    asked = maasloop(*contract.options(), "approvals", "request", "noord/tlc-1", *dark)
    agreed = maasloop(*contract.options(), "approvals", "grant", "noord/a")

    (_, request), (_, grant) = contract.requests
    assert (request.parent, request.approval.device) == ("districts/noord", "tlc-1")
    assert request.approval.justification == "cables"
    assert request.approval.setpoint.operating_mode.mode == OperatingMode.MODE_DARK
    assert grant.name == name
    assert (asked.status, agreed.status) == (0, 0)


def test_lists_follow_pages(maasloop: Any, contract: Any) -> None:
    """All pages up to the limit are printed, as lines with tabs or as JSON."""
    commands = [
        command_pb2.Command(
            name=f"districts/noord/commands/{n}", device="lamp", state=command_pb2.Command.STATE_VERIFIED
        )
        for n in range(3)
    ]
    page = command_service_pb2.ListCommandsResponse
    contract.answers["ListCommands"] = [page(commands=commands[:2], next_page_token="x"), page(commands=commands[2:])]
    ended = maasloop(*contract.options(), "commands", "list", "noord", "--state", "verified")

    assert ended.status == 0
    assert [line.split("\t")[2] for line in ended.out.splitlines()] == ["state", "verified", "verified", "verified"]
    assert [request.page_token for _, request in contract.requests] == ["", "x"]
    assert contract.requests[0][1].state == command_pb2.Command.STATE_VERIFIED
    contract.answers["ListCommands"] = [page(commands=commands)]
    printed = json.loads(maasloop(*contract.options(), "commands", "list", "noord", "--json").out)
    assert [command["state"] for command in printed] == ["STATE_VERIFIED"] * 3


def test_a_refusal_is_one_sentence_with_its_reason(maasloop: Any, contract: Any) -> None:
    """The reason and the message of the service reach the terminal, and the status is 1."""
    contract.answers["CancelCommand"] = FailedPrecondition("STATE_FORBIDS", "the command is settled")
    ended = maasloop(*contract.options(), "commands", "cancel", "noord/c")

    assert (ended.status, ended.out) == (1, "")
    assert ended.error == "maasloop: STATE_FORBIDS: the command is settled\n"


def test_a_fault_of_the_service_is_told_apart(maasloop: Any, contract: Any) -> None:
    """An internal error says so, without a stack of ours."""
    contract.answers["CancelCommand"] = ZeroDivisionError()
    ended = maasloop(*contract.options(), "commands", "cancel", "noord/c")

    assert ended.status == 1
    assert ended.error.splitlines()[-1] == "maasloop: INTERNAL: internal error"


def test_changes_are_watched(maasloop: Any, contract: Any) -> None:
    """Each change is a line; signs of life are not."""
    command = command_pb2.Command(
        name="districts/noord/commands/c", device="lamp", state=command_pb2.Command.STATE_ACKNOWLEDGED
    )
    contract.answers["WatchCommands"] = [command_service_pb2.WatchCommandsResponse(command=command)]

    assert "acknowledged" in maasloop(*contract.options(), "commands", "watch", "noord").out


def test_an_override_is_set_and_a_district_released(maasloop: Any, contract: Any) -> None:
    """Target, end and justification travel."""
    contract.answers["SetOverride"] = [command_service_pb2.Override(name="districts/noord/overrides/o")]
    contract.answers["ReleaseDistrict"] = [command_service_pb2.ReleaseDistrictResponse(released=True)]
    options = [*contract.options(), "overrides", "set", "noord", "--group", "kade", "--level", "100"]
    assert maasloop(*options, "--until", "+30m", "--why", "Festival").status == 0
    assert maasloop(*contract.options(), "release", "noord", "--why", "Works").status == 0

    (_, override), (_, release) = contract.requests
    assert (override.override.device_group, override.override.justification) == ("kade", "Festival")
    assert (release.name, release.resume) == ("districts/noord", False)


POLICY = """
name: dim
displayName: Dim at night
district: noord
observedProperties: [illuminance]
onCondition: value < 50.0
onLevelPercent: 80
offLevelPercent: 20
"""


def test_policies_are_applied_from_a_file(maasloop: Any, contract: Any, tmp_path: Path) -> None:
    """A new one is created, the same one is left alone, a changed one becomes a version."""
    file = tmp_path / "policies.yaml"
    file.write_text(POLICY)
    stored = policy_service_pb2.Policy(name="policies/dim", version=1, mode=policy_service_pb2.Policy.MODE_SHADOW)
    contract.answers["GetPolicy"] = NotFound("RESOURCE_NOT_FOUND", "no")
    contract.answers["CreatePolicy"] = [stored]
    assert "created" in maasloop(*contract.options(), "policies", "apply", str(file)).out
    created = contract.requests[-1][1]
    assert (created.policy_id, created.policy.on_level_percent) == ("dim", 80)

    current = policy_service_pb2.Policy()
    current.CopyFrom(created.policy)
    contract.answers["GetPolicy"] = [current]
    assert "unchanged" in maasloop(*contract.options(), "policies", "apply", str(file)).out
    file.write_text(POLICY.replace("80", "90"))
    contract.answers["UpdatePolicy"] = [stored]
    contract.answers["SetPolicyMode"] = [stored]
    assert "changed" in maasloop(*contract.options(), "policies", "apply", str(file), "--mode", "active").out
    assert contract.requests[-1][1].mode == policy_service_pb2.Policy.MODE_ACTIVE
    file.write_text("nonsense: 1")
    assert maasloop(*contract.options(), "policies", "apply", str(file)).status == 2


def _columns() -> observation_pb2.ObservationColumns:
    return observation_pb2.ObservationColumns(
        dictionary=observation_pb2.SeriesDictionary(devices=["lamp-1"], observed_properties=["power", "signal-state"]),
        device_index=[0, 0],
        property_index=[0, 0],
        event_time_us=[1_000_000, 2_000_000],
        value=[40.0, 41.5],
        states=[observation_pb2.StateObservation(property_index=1, event_time_us=3_000_000, state="rG")],
    )


def test_observations_are_queried(maasloop: Any, contract: Any) -> None:
    """Rows of numbers and states are printed with their times; buckets with their figures."""
    contract.answers["ReadObservations"] = [series_service_pb2.ReadObservationsResponse(observations=_columns())]
    printed = maasloop(*contract.options(), "observations", "query", "noord", "--from", "-2h", "--json").out
    assert [row["result"] for row in json.loads(printed)] == [40.0, 41.5, "rG"]
    ended = maasloop(*contract.options(), "observations", "query", "noord", "--limit", "1")
    assert "1970-01-01T00:00:01Z\tlamp-1\tpower\t40.0" in ended.out
    assert "2 more" in ended.out

    bucket = series_service_pb2.Bucket(count=2, mean=40.75)
    series = series_service_pb2.SeriesBuckets(device="lamp-1", observed_property="power", buckets=[bucket])
    contract.answers["AggregateObservations"] = [series_service_pb2.AggregateObservationsResponse(series=[series])]
    options = ["observations", "query", "noord", "--bucket", "5m", "--gaps", "last"]
    assert "40.75" in maasloop(*contract.options(), *options).out
    request = contract.requests[-1][1]
    assert (request.bucket.seconds, request.gap_fill) == (300, series_service_pb2.GAP_FILL_LAST)
    together = ["observations", "query", "noord", "--together"]
    maasloop(*contract.options(), *together, "--bucket", "1h")
    assert contract.requests[-1][1].grouping == series_service_pb2.GROUPING_OBSERVED_PROPERTY
    assert maasloop(*contract.options(), *together).status == 2


def test_observations_are_shown_and_watched(maasloop: Any, contract: Any) -> None:
    """The newest ones are a table, new ones a line each."""
    observation = observation_pb2.Observation(device=LAMP, observed_property="observedProperties/power", value=40)
    contract.answers["ListLatestObservations"] = [
        series_service_pb2.ListLatestObservationsResponse(observations=[observation])
    ]
    contract.answers["WatchObservations"] = [
        series_service_pb2.WatchObservationsResponse(observations=_columns()),
    ]

    assert "power\t" in maasloop(*contract.options(), "observations", "latest", "noord", "--device", "lamp-1").out
    lines = maasloop(*contract.options(), "observations", "watch", "noord", "--json").out.splitlines()
    assert json.loads(lines[1])["result"] == 41.5


@pytest.mark.parametrize(
    ("terms", "status", "word"),
    [
        ({"stored_count": 8, "series_stored_count": 8, "duplicate_count": 2}, 0, "accounted for"),
        ({"stored_count": 8, "series_stored_count": 8, "in_stream_count": 2}, 0, "not at rest"),
        ({"stored_count": 8, "series_stored_count": 8}, 1, "unexplained"),
        ({"stored_count": 9, "series_stored_count": 9, "lost_count": 1}, 1, "lost"),
        ({"stored_count": 10, "series_stored_count": 9}, 1, "miscounted"),
    ],
)
def test_the_account_is_judged(maasloop: Any, contract: Any, terms: dict[str, int], status: int, word: str) -> None:
    """An exact balance ends with status 0; a hole, a loss or counters that differ with 1."""
    balance = series_service_pb2.CustodyBalance(accepted_count=10)
    for term, count in terms.items():
        setattr(balance, term, count)
    contract.answers["GetCustodyBalance"] = [balance]
    ended = maasloop(*contract.options(), "account")

    assert ended.status == status
    assert word in ended.out


def test_the_account_by_door_and_device(maasloop: Any, contract: Any) -> None:
    """Doors are rows of a table; devices follow, the one with most missing payloads first, and only so many."""
    pb = series_service_pb2
    doors = [pb.DoorBalance(door="mqtt", accepted_count=7, stored_count=7, late_count=2), pb.DoorBalance(door="")]
    contract.answers["GetCustodyBalance"] = [
        pb.CustodyBalance(accepted_count=7, stored_count=7, series_stored_count=7, late_count=2, doors=doors)
    ]
    accounts = [
        accounts_pb2.DeviceAccount(device="districts/noord/devices/a", late_count=9),
        accounts_pb2.DeviceAccount(device="districts/noord/devices/b", missing_payload_count=3, last_sequence=40),
        accounts_pb2.DeviceAccount(device="districts/noord/devices/c", quarantined_count=1),
    ]
    contract.answers["ListDeviceAccounts"] = [accounts_pb2.ListDeviceAccountsResponse(accounts=accounts)]
    arguments = [*contract.options(), "account", "--district", "noord", "--devices", "--limit", "2"]

    printed = maasloop(*arguments).out
    found = json.loads(maasloop(*arguments, "--json").out)

    assert "mqtt\t7\t7" in printed
    assert [device["device"][-1] for device in found["devices"]] == ["b", "c"]
    assert (found["devices"][0]["missing_payload"], found["devices"][1]["refused"]) == (3, 1)
    assert found["doors"][0] | {"door": "mqtt", "late": 2} == found["doors"][0]
    assert found["at_rest"]
    assert found["balanced"]


def test_a_reading_is_traced(maasloop: Any, contract: Any) -> None:
    """Message, row, newest reading and buckets are told; a reading that is nowhere ends with status 1."""
    pb = series_service_pb2
    time = Timestamp(seconds=1_762_128_042)
    row = observation_pb2.Observation(device=LAMP, event_time=time, receipt_time=time, value=4.5)
    message = accounts_pb2.CarryingMessage(
        stream="OBSERVATIONS", sequence=7, id="e1", door="mqtt", receipt_time=time, acknowledge_time=time, value=4.5,
        settled=True, traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    )  # fmt: skip
    contract.answers |= {
        "TraceObservation": [accounts_pb2.TraceObservationResponse(row=row, messages=[message])],
        "ListLatestObservations": [pb.ListLatestObservationsResponse(observations=[row])],
        "AggregateObservations": [
            pb.AggregateObservationsResponse(series=[pb.SeriesBuckets(buckets=[pb.Bucket(start_time=time, count=3)])])
        ],
    }
    arguments = [*contract.options(), "trace-reading", "noord/lamp-1", "power", "2025-11-03T00:00:42Z"]

    printed = maasloop(*arguments)
    found = json.loads(maasloop(*arguments, "--json").out)
    buckets = [request for method, request in contract.requests if method == "AggregateObservations"][:2]
    contract.answers["TraceObservation"] = [accounts_pb2.TraceObservationResponse()]

    for word in ("OBSERVATIONS 7, settled", "mqtt", "a" * 32, "value 4.5", "this reading", "minute", "hour"):
        assert word in printed.out
    assert found["messages"][0]["traceId"] == "a" * 32
    assert [(each.start_time.seconds, each.end_time.seconds) for each in buckets] == [
        (1_762_128_000, 1_762_128_060),
        (1_762_128_000, 1_762_131_600),
    ]
    assert maasloop(*arguments).status == 1


def test_quarantine_is_listed_and_replayed(maasloop: Any, contract: Any) -> None:
    """Entries are chosen by name or by reason."""
    entry = observation_pb2.QuarantineEntry(name="quarantineEntries/7", reason="DEVICE_UNKNOWN", reading_count=3)
    contract.answers["ListQuarantine"] = [ingest_service_pb2.ListQuarantineResponse(entries=[entry])]
    contract.answers["ReplayQuarantine"] = [ingest_service_pb2.ReplayQuarantineResponse(accepted_count=3)]

    assert "DEVICE_UNKNOWN" in maasloop(*contract.options(), "quarantine", "list").out
    assert "3" in maasloop(*contract.options(), "quarantine", "replay", "--reason", "DEVICE_UNKNOWN").out
    assert list(contract.requests[-1][1].names) == ["quarantineEntries/7"]


def test_alerts_subscriptions_and_deliveries(maasloop: Any, contract: Any) -> None:
    """What notification keeps can be listed and changed."""
    alert = alert_pb2.Alert(name="districts/noord/alerts/a", state=alert_pb2.Alert.STATE_RAISED, title={"en": "Smog"})
    subscription = alert_pb2.Subscription(
        name="districts/noord/subscriptions/me", email=alert_pb2.Email(address="a@b.nl")
    )
    delivery = alert_pb2.Delivery(
        name="districts/noord/deliveries/d", state=alert_pb2.Delivery.STATE_DELIVERED, channel="email"
    )
    contract.answers |= {
        "ListAlerts": [notification.ListAlertsResponse(alerts=[alert])],
        "AcknowledgeAlert": [alert],
        "ResolveAlert": [alert],
        "CreateSubscription": [subscription],
        "ListSubscriptions": [notification.ListSubscriptionsResponse(subscriptions=[subscription])],
        "DeleteSubscription": [notification.DeleteSubscriptionResponse()],
        "ListDeliveries": [notification.ListDeliveriesResponse(deliveries=[delivery])],
    }
    options = contract.options()

    assert "Smog" in maasloop(*options, "alerts", "list", "noord", "--state", "raised").out
    assert maasloop(*options, "alerts", "ack", "noord/a", "--by", "desk").status == 0
    assert contract.requests[-1][1].acknowledger == "desk"
    assert maasloop(*options, "alerts", "ack", "noord/a").status == 0
    assert contract.requests[-1][1].acknowledger == ""
    assert maasloop(*options, "alerts", "resolve", "noord/a").status == 0
    assert maasloop(*options, "subscriptions", "add", "noord/me", "--email", "a@b.nl", "--category", "air").status == 0
    added = contract.requests[-1][1]
    assert (added.subscription_id, added.subscription.email.address) == ("me", "a@b.nl")
    assert "a@b.nl" in maasloop(*options, "subscriptions", "list", "noord").out
    assert "removed" in maasloop(*options, "subscriptions", "remove", "noord/me").out
    assert "delivered" in maasloop(*options, "deliveries", "list", "noord", "--alert", "noord/a").out
