"""A conversation in which both sides say everything that their core version has."""

from datetime import timedelta

from maasloop.rsmp.dialect import DIALECTS, Release
from maasloop.rsmp.messages import AlarmAct, StatusName, Subscription
from maasloop.rsmp.session import Instant
from rsmp_link import CONTROLLER, DETECTOR, GROUP, PLAN, Link

PAIRS = (
    (Release(3, 1, 2), Release(1, 0, 15)),
    (Release(3, 1, 3), Release(1, 0, 15)),
    (Release(3, 1, 4), Release(1, 0, 15)),
    (Release(3, 1, 5), Release(1, 1, 0)),
    (Release(3, 2, 0), Release(1, 1, 0)),
    (Release(3, 2, 1), Release(1, 2, 0)),
    (Release(3, 2, 2), Release(1, 2, 1)),
)
"""Every core version, with an exchange list of its time."""

_CODE = {"securityCode": "2222"}
_COMMANDS = (
    ("M0002", {"status": "True", **_CODE, "timeplan": "3"}),
    ("M0002", {"status": "True", "securityCode": "0", "timeplan": "4"}),
    ("M0001", {"status": "YellowFlash", **_CODE, "timeout": "10", "intersection": "0"}),
    ("M0003", {"status": "True", **_CODE, "traficsituation": "2"}),
    ("M0005", {"status": "True", **_CODE, "emergencyroute": "1"}),
    ("M0006", {"status": "True", **_CODE, "input": "2"}),
    ("M0007", {"status": "True", **_CODE}),
    ("M0013", {"status": "0,2,0", **_CODE}),
    ("M0014", {"plan": "1", "status": "1-10,2-5", **_CODE}),
    ("M0015", {"status": "20", "plan": "1", **_CODE}),
    ("M0018", {"status": "80", "plan": "1", **_CODE}),
    ("M0019", {"status": "True", **_CODE, "input": "2", "inputValue": "False"}),
    ("M0022", {"requestId": "bus-7", "type": "new", "level": "7", "signalGroupId": GROUP, "eta": "20"}),
    ("M0023", {"status": "5", **_CODE}),
    (
        "M0104",
        {**_CODE, "year": "2026", "month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"},
    ),
)


def converse(core: Release, listed: Release) -> Link:
    """Return a link on which everything was said, the reconnection after a lost link included."""
    link = Link(core=core, listed=listed, buffered=frozenset([PLAN])).ready()
    wanted = [Subscription("S0014", "status", 0, on_change=True), Subscription("S0001", "stage", 5000, on_change=False)]
    link.supervisor.subscribe(CONTROLLER, wanted, link.now)
    link.supervisor.request_status(CONTROLLER, [PLAN, StatusName("S0003", "inputstatus")], link.now)
    link.supervisor.request_status("nowhere", [PLAN], link.now)
    link.supervisor.request_status(CONTROLLER, [StatusName("S0002", "detectorlogicstatus")], link.now)
    link.pump()
    if "S0033" in link.state.exchange_list.statuses:
        link.supervisor.request_status(CONTROLLER, [StatusName("S0033", "status")], link.now)
    for code, values in _COMMANDS:
        if code in link.state.exchange_list.commands:
            link.supervisor.command(CONTROLLER, code, values, link.now)
            link.pump()
    link.supervisor.command("nowhere", "M0002", dict(_COMMANDS[0][1]), link.now)
    link.supervisor.command(DETECTOR, "M0008", {"status": "True", **_CODE, "mode": "True"}, link.now)
    link.pump()
    link.advance(6)
    _alarms(link, DIALECTS[core].requests_state)
    link.supervisor.unsubscribe(CONTROLLER, [StatusName("S0001", "stage")], link.now)
    link.site.set_aggregated_status(CONTROLLER, (False, False, True, False, False, True, False, False), link.now)
    link.pump()
    return link


def reconnect(link: Link) -> None:
    """Lose the link, let things happen, and join again."""
    link.break_off()
    link.now = Instant(link.now.at_s + 10, link.now.utc + timedelta(seconds=10))
    link.cabinet.set("S0014", "status", "9")
    link.site.refresh(link.now)
    link.site.set_alarm(GROUP, "A0202", (("color", "green"),), link.now, active=True)
    link.join()
    link.ready()
    link.advance(2)


def _alarms(link: Link, requests_state: bool) -> None:
    link.site.set_alarm(GROUP, "A0201", (("color", "red"),), link.now, active=True)
    acts = [AlarmAct.ACKNOWLEDGE, AlarmAct.SUSPEND, AlarmAct.RESUME]
    for act in [*acts, *([AlarmAct.REQUEST] if requests_state else [])]:
        link.supervisor.order_alarm(GROUP, "A0201", act, link.now)
        link.pump()
    link.site.set_alarm(GROUP, "A0201", (("color", "red"),), link.now, active=False)
    if requests_state:
        link.supervisor.request_aggregated_status(CONTROLLER, link.now)
    link.pump()
