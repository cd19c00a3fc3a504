"""Tenants of a city: declared in a file, apart by district, each with durables and an account of its own."""

from pathlib import Path

import pytest

from maasloop.bus import accounts, rights
from maasloop.bus.city import City
from maasloop.bus.streams import MQTT_UPLINKS
from maasloop.bus.tenants import ALONE, Tenant, read_tenants, require_apart
from maasloop.core.clock import SystemClock
from maasloop.core.errors import InvalidArgument

CITY, BUREN = Tenant("city", ("noord",)), Tenant("buren", ("haven", "kade"))


def test_what_is_declared_is_read_again(tmp_path: Path) -> None:
    """A city has one tenant with every district until others are declared, and those stay over a start."""
    city = City(tmp_path, SystemClock())
    assert city.tenants == ALONE
    city.declare([CITY, BUREN])
    city.ensure()

    assert City(tmp_path, SystemClock()).tenants == (CITY, BUREN)
    assert {"DEVICES-city", "DEVICES-buren"} <= set(city.fixed_accounts)
    assert city.credentials("ensure-devices-buren").exists()


@pytest.mark.parametrize(
    "tenants",
    [
        [BUREN],
        [Tenant("city"), BUREN],
        [CITY, Tenant("buren", ("noord",))],
        [CITY, Tenant("city", ("haven",))],
        [CITY, Tenant("buren", tuple(f"d{number}" for number in range(65)))],
    ],
)
def test_tenants_that_would_meet_are_refused(tenants: list[Tenant]) -> None:
    """Without the city's own, with all districts beside another, with a shared district, twice, with too many."""
    with pytest.raises(InvalidArgument):
        require_apart(tenants)


def test_a_file_with_a_name_that_is_no_id_is_refused(tmp_path: Path) -> None:
    """A district that would be a wildcard of subjects never becomes one."""
    path = tmp_path / "tenants.json"
    path.write_text('{"city": ["*"]}', encoding="utf-8")
    with pytest.raises(InvalidArgument):
        read_tenants(path)


def test_nothing_that_crosses_is_of_two_tenants() -> None:
    """No subject that one tenant gives or takes matches one of the other's, under its name among the services."""
    crossing = [
        {
            each.local_subject or each.subject
            for shared in (accounts.from_devices, accounts.receipts, accounts.commands)
            for each in shared(tenant)
        }
        for tenant in (CITY, BUREN)
    ]
    assert crossing[0].isdisjoint(crossing[1])
    assert all("dev.v1.*" not in subject for subjects in crossing for subject in subjects)


def test_ingest_pulls_the_durables_of_every_tenant() -> None:
    """Its rights name each tenant's durable, and that of the city as it was."""
    publish = rights.service_rights("ingest", (CITY, BUREN)).publish
    for name in ("ingest-mqtt", "ingest-mqtt-buren"):
        assert f"$JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs.{name}" in publish
    assert CITY.durable(MQTT_UPLINKS) == MQTT_UPLINKS
