"""A command is sent once, refused where it does not fit, and ended by what the site shows."""

import json
from dataclasses import replace

import pytest

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.encoding import encode
from maasloop.rsmp.errors import NotSendable
from maasloop.rsmp.events import (
    CommandEnded,
    CommandTaken,
    Outcome,
)
from maasloop.rsmp.exchange_list import TLC_RELEASES, tlc
from maasloop.rsmp.messages import (
    Address,
    CommandArgument,
    CommandRequest,
    CommandResponse,
    CommandValue,
    Message,
    Quality,
    StatusName,
    StatusRequest,
    StatusUpdate,
    StatusValue,
)
from maasloop.rsmp.site import SiteIdentity
from rsmp_link import CONTROLLER, GROUP, PLAN, SITE, START, Cabinet, Link

PLAN_3 = {"status": "True", "securityCode": "2222", "timeplan": "3"}


def _from_supervisor(link: Link, message: Message) -> dict[str, object]:
    """Say something to the site that our supervisor would not, and return the answer that follows."""
    before = len(link.said)
    link.site.receive(encode(message, link.supervisor.dialect), link.now)
    link.pump()
    found: dict[str, object] = json.loads(link.said[before][1])
    return found


@pytest.mark.parametrize(
    ("code", "component", "values", "deaf", "outcome"),
    [
        ("M0002", CONTROLLER, PLAN_3, False, Outcome.CONFIRMED),
        ("M0002", CONTROLLER, PLAN_3, True, Outcome.NOT_CONFIRMED),
        ("M0002", CONTROLLER, PLAN_3 | {"securityCode": "0"}, False, Outcome.REFUSED),
        ("M0002", "nowhere", PLAN_3, False, Outcome.UNDEFINED),
        ("M0007", CONTROLLER, {"status": "True", "securityCode": "2222"}, False, Outcome.UNKNOWN),
        ("M0004", CONTROLLER, {"status": "True", "securityCode": "2222"}, False, Outcome.ACCEPTED),
        ("M0006", CONTROLLER, {"status": "True", "securityCode": "2222", "input": "2"}, False, Outcome.CONFIRMED),
        ("M0022", CONTROLLER, {"requestId": "7", "type": "new", "level": "3"}, False, Outcome.CONFIRMED),
        # The site has no S0034, so that nothing can show more than that the command was taken.
        ("M0023", CONTROLLER, {"status": "5", "securityCode": "2222"}, False, Outcome.ACCEPTED),
    ],
)
def test_a_command_ends_by_what_the_site_shows(
    code: str, component: str, values: dict[str, str], deaf: bool, outcome: Outcome
) -> None:
    """A command is confirmed by a status, never by its acknowledgement or response alone."""
    link = Link(cabinet=Cabinet(deaf=deaf)).ready()
    command_id = link.supervisor.command(component, code, values, link.now)
    link.pump()
    link.advance(160)

    (ended,) = link.heard(CommandEnded)
    assert (ended.command_id, ended.code, ended.outcome) == (command_id, code, outcome)
    carried_out = outcome in {Outcome.CONFIRMED, Outcome.NOT_CONFIRMED, Outcome.ACCEPTED}
    assert bool(link.cabinet.executed) is carried_out
    assert any(isinstance(each, CommandTaken) for each in link.site_told) is carried_out


def test_a_command_is_never_sent_again_by_itself() -> None:
    """When the link is lost the command ends as unknown, and a new link does not repeat it."""
    link = Link(cabinet=Cabinet(deaf=True)).ready()
    link.supervisor.command(CONTROLLER, "M0002", PLAN_3, link.now)
    link.pump()
    link.supervisor.command(CONTROLLER, "M0002", PLAN_3 | {"timeplan": "4"}, link.now)
    link.pump()
    link.break_off()
    link.join()
    link.ready()
    link.advance(10)

    assert [each.outcome for each in link.heard(CommandEnded)] == [Outcome.SUPERSEDED, Outcome.LINK_LOST]
    assert sum(b"CommandRequest" in packet for _, packet in link.said) == 2


def _from_site(link: Link, message: Message) -> None:
    """Let the supervisor hear what our site would not say."""
    link.supervisor.receive(encode(message, link.site.dialect), link.now)
    link.told += link.supervisor.take_events()


def test_another_value_in_the_answer_is_a_refusal() -> None:
    """A site that answers with another plan than ordered has not taken the command; it need not repeat the code."""
    link = Link().ready()
    for plan in ("4", "3"):
        link.supervisor.command(CONTROLLER, "M0002", PLAN_3, link.now)
        values = tuple(
            CommandValue("M0002", name, value, Quality.RECENT)
            for name, value in {"status": "True", "securityCode": "", "timeplan": plan}.items()
        )
        _from_site(link, CommandResponse(link.new_id(), Address(CONTROLLER), START, values))

    (ended,) = link.heard(CommandEnded)
    assert (ended.outcome, ended.detail) == (Outcome.REFUSED, "the site answered with another timeplan")


def test_what_was_kept_while_a_link_was_down_confirms_nothing() -> None:
    """A buffered status may be older than the command."""
    link = Link(cabinet=Cabinet(deaf=True)).ready()
    link.supervisor.command(CONTROLLER, "M0002", PLAN_3, link.now)
    link.pump()
    for quality in (Quality.OLD, Quality.RECENT):
        assert not link.heard(CommandEnded)
        told = StatusValue("S0014", "status", "3", quality)
        _from_site(link, StatusUpdate(link.new_id(), Address(CONTROLLER), START, (told,)))

    assert [each.outcome for each in link.heard(CommandEnded)] == [Outcome.CONFIRMED]


def test_a_site_that_refuses_to_be_read_ends_the_waiting() -> None:
    """Some sites refuse statuses of their own list; then nothing can show more than that the command was taken."""
    link = Link().ready()
    link.state.exchange_list = replace(tlc(TLC_RELEASES[-1]), statuses={})
    link.supervisor.command(CONTROLLER, "M0002", PLAN_3, link.now)
    link.pump()

    (ended,) = link.heard(CommandEnded)
    assert ended.outcome is Outcome.ACCEPTED
    assert ended.detail == "the site does not tell S0014: status S0014 is not in list 1.2.1"


def _command(code: str, order: str, **values: str) -> CommandRequest:
    arguments = tuple(CommandArgument(code, name, order, value) for name, value in values.items())
    return CommandRequest("00000000-0000-4000-9000-000000000001", Address(CONTROLLER), arguments)


def _twice(request: CommandRequest) -> CommandRequest:
    return replace(request, arguments=(*request.arguments, replace(request.arguments[-1], value="1")))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (_command("M0000", "bad", status="True"), "command M0000 is not in list 1.2.1"),
        (_command("M0002", "bad", **PLAN_3), "command M0002 is ordered by setPlan, not by 'bad'"),
        (_command("M0002", "setPlan", status="True"), "M0002 securityCode, timeplan missing"),
        (_twice(_command("M0002", "setPlan", **PLAN_3)), "M0002 has an argument twice"),
        (
            StatusRequest(
                _command("M0002", "", a="").message_id, Address(CONTROLLER), (StatusName("S0000", "status"),)
            ),
            "status S0000 is not in list 1.2.1",
        ),
        (
            StatusRequest(_command("M0002", "", a="").message_id, Address(GROUP), (PLAN,)),
            "component SG1 is a signal group, not a controller",
        ),
    ],
)
def test_a_site_refuses_what_its_list_does_not_have(message: Message, reason: str) -> None:
    """Unknown codes, names and orders, and incomplete commands, are refused, and nothing is carried out."""
    link = Link().ready()
    answer = _from_supervisor(link, message)

    assert (answer["type"], answer["rea"]) == ("MessageNotAck", reason)
    assert not link.cabinet.executed


@pytest.mark.parametrize(
    ("core", "null", "told"),
    [("3.2.2", True, None), ("3.2.2", False, "3"), ("3.1.2", True, "3"), ("3.1.3", True, None)],
)
@pytest.mark.parametrize("code", ["M0002", "M0007"])
def test_what_nobody_takes_is_told_as_the_supervisor_wants_it(
    core: str, null: bool, told: str | None, code: str
) -> None:
    """Where there is no such component, or the command is not implemented: null, or what was ordered."""
    identity = SiteIdentity((SITE,), "1.2.1", (core,), undefined_is_null=null)
    link = Link(core=Release.parse(core), identity=identity).ready()
    values = PLAN_3 if code == "M0002" else {"status": "True", "securityCode": "2222"}
    link.supervisor.command("nowhere" if code == "M0002" else CONTROLLER, code, values, link.now)
    link.pump()

    answer = next(json.loads(packet) for _, packet in link.said if b"CommandResponse" in packet)
    assert answer["rvs"][-1]["v"] == (told if code == "M0002" or told is None else "2222")
    assert link.heard(CommandEnded)[0].outcome in {Outcome.UNDEFINED, Outcome.UNKNOWN}


def test_a_supervisor_does_not_send_what_the_list_does_not_have() -> None:
    """A command that the site must refuse never leaves, nor one that the list only reserves."""
    link = Link().ready()
    for code, values in (("M0002", {"status": "True"}), ("M0099", {}), ("M0012", {"status": "", "securityCode": ""})):
        with pytest.raises(NotSendable):
            link.supervisor.command(CONTROLLER, code, values, link.now)
    with pytest.raises(NotSendable, match="not ready"):
        Link().supervisor.command(CONTROLLER, "M0002", PLAN_3, link.now)
