"""What ``maasloop signals`` asks, and how it tells the answer."""

import json
from typing import Any

import pytest

from maasloop.api.command.v1 import command_pb2, signal_decision_pb2
from maasloop.api.device.v1 import device_pb2, device_service_pb2
from maasloop.api.observation.v1 import travel_times_pb2
from maasloop.core.errors import NotFound

DECISION = signal_decision_pb2.SignalDecision(
    name="districts/noord/devices/crossing/signalDecisions/1788260405",
    decision="clearance",
    detail="index 0.412",
    aspects={"a": command_pb2.SIGNAL_ASPECT_GREEN, "b": command_pb2.SIGNAL_ASPECT_RED},
    chosen_signal_groups=["b"],
    stages=[
        signal_decision_pb2.RankedStage(signal_groups=["b"], index=0.412),
        signal_decision_pb2.RankedStage(signal_groups=["a"], index=0.1),
    ],
    called_groups=[signal_decision_pb2.CalledGroup(signal_group="b", red_s=34, called_s=12)],
    command=command_pb2.Command(
        name="districts/noord/commands/c0ffee",
        state=command_pb2.Command.STATE_VERIFIED,
        reason="EFFECT_OBSERVED",
        detail="shows rG",
    ),
)


def test_a_decision_is_explained(maasloop: Any, contract: Any) -> None:
    """The second is asked for by name; the answer names choice, comparison, waiting and outcome, a line each."""
    contract.answers["GetSignalDecision"] = [DECISION]
    ended = maasloop(*contract.options(), "signals", "explain", "noord/crossing", "2026-09-01T11:00:05Z")

    ((_, request),) = contract.requests
    assert request.name == DECISION.name
    assert ended.out.splitlines() == [
        "noord/crossing  2026-09-01T11:00:05Z  clearance: index 0.412",
        "shown     green: a; red: b",
        "asked for b to be green",
        "stage     0.412  b",
        "stage     0.100  a  (shown)",
        "called    b, red for 34 s, called for 12 s",
        "command   c0ffee  verified: EFFECT_OBSERVED shows rG",
    ]


def test_a_decision_is_explained_to_programs(maasloop: Any, contract: Any) -> None:
    """As JSON the whole resource is printed."""
    contract.answers["GetSignalDecision"] = [DECISION]
    ended = maasloop(*contract.options(), "signals", "explain", "noord/crossing", "2026-09-01T11:00:05Z", "--json")

    told = json.loads(ended.out)
    assert told["stages"][0] == {"signalGroups": ["b"], "index": 0.412}
    assert told["command"]["state"] == "STATE_VERIFIED"


def test_a_junction_is_found_by_its_id_alone(maasloop: Any, contract: Any) -> None:
    """Without a district each one is looked at, and the one whose junction decided in that second answers."""
    names = ("districts/noord", "districts/zuid")
    districts = [device_pb2.District(name=name) for name in names]
    contract.answers["ListDistricts"] = [device_service_pb2.ListDistrictsResponse(districts=districts)]
    contract.answers["GetDevice"] = [device_pb2.Device(name="districts/noord/devices/crossing")]
    contract.answers["GetSignalDecision"] = [DECISION]
    ended = maasloop(*contract.options(), "signals", "explain", "crossing", "2026-09-01T11:00:05Z")

    asked = [request.name for method, request in contract.requests if method == "GetDevice"]
    assert asked == [f"{name}/devices/crossing" for name in names]
    assert contract.requests[-1][1].name == DECISION.name
    assert ended.status == 0
    contract.answers["GetDevice"] = NotFound("RESOURCE_NOT_FOUND", "no")
    assert "no district" in maasloop(*contract.options(), "signals", "explain", "corner", "now").error


@pytest.mark.parametrize("time", ["2026-09-01T11:00:05Z", "-10s"])
def test_a_second_without_a_decision_is_told_with_the_nearest(maasloop: Any, contract: Any, time: str) -> None:
    """What the service says about the nearest seconds reaches the terminal."""
    contract.answers["GetSignalDecision"] = NotFound("RESOURCE_NOT_FOUND", "the nearest seconds kept: 5")
    ended = maasloop(*contract.options(), "signals", "explain", "noord/crossing", time)

    assert ended.status == 1
    assert "the nearest seconds kept: 5" in ended.error


def test_travel_times_are_told_with_routes(maasloop: Any, contract: Any) -> None:
    """Links and routes travel; a route with a link that nobody reported says which one that is."""
    contract.answers["GetTravelTimes"] = [
        travel_times_pb2.TravelTimes(
            links=[travel_times_pb2.LinkTravelTime(link="a", travel_s=31.5, queue_length=4, age_s=2)],
            routes=[
                travel_times_pb2.RouteTravelTime(travel_s=63, age_s=2),
                travel_times_pb2.RouteTravelTime(missing_links=["b"]),
            ],
        )
    ]
    options = ["signals", "travel-times", "noord", "--route", "a,a", "--route", "a,b"]
    ended = maasloop(*contract.options(), *options)

    ((_, request),) = contract.requests
    assert (request.parent, [list(one.links) for one in request.routes]) == (
        "districts/noord",
        [["a", "a"], ["a", "b"]],
    )
    assert ended.out.splitlines()[1].split("\t")[:3] == ["a", "31.5", "4.0"]
    assert ended.out.splitlines()[2:] == [
        "a a: 63 s, 2 s old at most",
        "a b: unknown, since nothing was reported of b",
    ]
