"""Who did what stays written: on a whole stack, from the command line, and against who owns the database."""

import asyncio
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from maasloop.api.device.v1.device_pb2 import Device
from maasloop.api.notification.v1 import notification_service_pb2 as notification
from maasloop.api.notification.v1.alert_pb2 import Alert, AlertRule, ObservationCondition
from maasloop.api.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from maasloop.twin.devices.lamp import LampFacts
from maasloop.twin.devices.readings import Reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Town

FACTS = LampFacts(
    installed_power_w=36.0, standby_power_w=0.8, lighting_class="P4", class_level_percent=80.0, floor_percent=30.0
)
LAMP = "districts/noord/devices/lamp-audited"
PERSON = "p-audited-4711"
CLI_TIMEOUT_S = 60
RULE = AlertRule(
    district="noord",
    category="light",
    observation=ObservationCondition(observed_property="illuminance", raise_condition="value < 5.0"),
    title={"nl": "Donker bij {device}", "en": "Dark at {device}"},
    body={"nl": "{value}", "en": "{value}"},
)


async def _maasloop(town: "Town", *arguments: str) -> tuple[int, Any]:
    """Run the command line beside the stack and return its status and what it printed as JSON."""
    command: tuple[str | Path, ...] = (
        Path(sys.executable).with_name("maasloop"),
        "--root",
        str(town.stack.directory.root),
        "audit",
        *arguments,
    )
    process = await asyncio.create_subprocess_exec(*command, "--json", stdout=asyncio.subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
    # A witness tells one thing a line.
    told = [json.loads(line) for line in printed.splitlines()] if "witness" in arguments else json.loads(printed)
    return int(process.returncode or 0), told


async def _act(town: "Town") -> None:
    lamp = Device(name="lamp-audited", device_type="deviceTypes/streetlight")
    lamp.config.update(asdict(FACTS))
    dusk = Device(name="dusk-audited", device_type="deviceTypes/light-sensor")
    await town.add_devices([lamp, dusk], Reading("dusk-audited", "illuminance", town.now_us(), 2.0))
    await town.issue("lamp-audited", 100.0)
    await town.issue("lamp-audited", 0.0)
    await town.withdraw(await town.grant(PERSON, "air-audited"))


async def _taken(town: "Town") -> Alert:
    """Let a reading raise an alert, and take it without saying as whom."""
    async with town.channel("notification") as channel:
        stub: Any = NotificationServiceStub(channel)
        rule = await stub.CreateAlertRule(
            notification.CreateAlertRuleRequest(alert_rule_id="dark-audited", alert_rule=RULE)
        )

        async def raised() -> Any:  # noqa: ANN401 - what the stub, which is untyped here, gives
            await town.record(Reading("dusk-audited", "illuminance", town.now_us(), 2.0))
            return (await stub.ListAlerts(notification.ListAlertsRequest(parent=town.parent))).alerts

        (alert, *_) = await town.until(raised)
        taken: Alert = await stub.AcknowledgeAlert(notification.AcknowledgeAlertRequest(name=alert.name))
        await stub.DeleteAlertRule(notification.DeleteAlertRuleRequest(name=rule.name))
        return taken


async def _signed(town: "Town", service: str) -> bool:
    """Tell whether the keeper has signed everything that is there."""
    rows = town.rows(
        "SELECT size - (SELECT max(size) FROM audit.checkpoints WHERE log = name) FROM audit.logs WHERE name = %s",
        service,
    )
    return bool(rows) and rows[0][0] == 0


@pytest.mark.timeout(240)
async def test_who_did_what_stays_written(town: "Town") -> None:
    """Calls and commands are found by resource, a person by nobody but the city; a changed row is found out."""
    await _act(town)
    assert (await _taken(town)).acknowledger == "operator/local"
    for service in ("device-registry", "actuation", "consent"):
        await town.until(partial(_signed, town, service), timeout_s=120.0)

    status, touches = await _maasloop(town, "who-touched", LAMP)
    told = {(row["actor"], row["verb"], row.get("authority", ""), row.get("reason", "")) for row in touches}
    assert status == 0
    assert ("operator/local", "commanded", "OPERATOR", "") in told
    assert ("operator/local", "refused", "OPERATOR", "BELOW_FLOOR") in told

    _, personal = await _maasloop(town, "who-touched", f"dataSubjects/{PERSON}")
    assert {row["verb"] for row in personal} >= {"asked", "changed"}
    assert not town.rows("SELECT 1 FROM audit.entries WHERE body LIKE %s", f"%{PERSON}%")

    status, logs = await _maasloop(town, "verify")
    assert (status, {log["holds"] for log in logs}) == (0, {True})
    assert len(logs) >= 3
    status, seen = await _maasloop(town, "witness", "--once")
    assert (status, {each["cosigned"] for each in seen}) == (0, {True})
    assert len({each["text"].partition(":")[0] for each in seen}) >= 3

    with psycopg.connect(town.stack.postgres_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit.entries DISABLE TRIGGER only_grows")
        connection.execute("UPDATE audit.entries SET body = replace(body, 'local', 'other') WHERE log = 'actuation'")
        connection.execute("ALTER TABLE audit.entries ENABLE TRIGGER only_grows")
    status, logs = await _maasloop(town, "verify")
    assert status == 1
    assert [log["origin"] for log in logs if not log["holds"]] == ["maasloop.internal/audit/actuation"]
