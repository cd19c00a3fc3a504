"""The cast: devices that a registry can take, the same ones for the same network."""

import pytest

from maasloop.core.ids import valid_id
from maasloop.twin.devices.places import _from_utm
from maasloop.twin.play.cast import Cast, every_second, gather_cast
from maasloop.twin.play.catalogue import DEVICE_TYPES, DOMAIN_OF
from maasloop.twin.play.run import first_second
from maasloop.twin.street.scenario import load_scenario
from maasloop.twin.street.site import read_site


@pytest.fixture(scope="module", name="cast")
def _cast() -> Cast:
    return gather_cast("d", read_site(load_scenario("cologne8")))


@pytest.fixture(scope="module", name="mixed")
def _mixed() -> Cast:
    site = read_site(load_scenario("cologne8"))
    return gather_cast("d", site, by_bands=every_second(site), security_code="env:CODE")


def test_half_of_the_junctions_speak_rsmp_and_their_loops_have_a_unit_of_their_own(mixed: Cast) -> None:
    """A site over RSMP is nobody's gateway on MQTT."""
    devices = {device.id: device for device in mixed.devices()}
    sites = {name for name, device in devices.items() if device.device_type == "rsmp-signal-controller"}

    assert sites == set(every_second(mixed.site))
    assert len(sites) == len(mixed.site.junctions) / 2
    ids = [devices[name].config["rsmp"]["site_ids"] for name in sites]
    assert sorted(ids) == sorted([f"d-{name}"] for name in sites)
    assert all("rsmp" in devices[name].config and "controls" in devices[name].config for name in sites)
    for junction in mixed.site.junctions:
        gateway = mixed.detector_units.get(junction.id, junction.id)
        assert {devices[loop.id].gateway for loop in junction.loops} == {gateway}


@pytest.mark.parametrize("which", ["cast", "mixed"])
def test_every_device_has_an_id_of_its_own_and_a_known_type(which: str, request: pytest.FixtureRequest) -> None:
    """No two share an id, and gateways come before those they speak for."""
    cast: Cast = request.getfixturevalue(which)
    known, types = set(), {one.name for one in DEVICE_TYPES}
    for device in cast.devices():
        assert valid_id(device.id)
        assert device.id not in known
        assert device.device_type in types
        assert not device.gateway or device.gateway in known
        known.add(device.id)


def test_there_are_about_four_hundred_lamps_in_and_around_the_network(cast: Cast) -> None:
    """Lamps stand along the streets of Cologne."""
    places = [cast.to_position(lamp.x, lamp.y) for lamp in cast.lamps]

    assert len(cast.lamps) == pytest.approx(400, abs=10)
    assert all(6.8 < place.longitude < 7.1 and 50.8 < place.latitude < 51.1 for place in places)


def test_the_same_network_gives_the_same_cast(cast: Cast) -> None:
    """Ids of lamps mean the same place in every run."""
    assert list(gather_cast("d", read_site(load_scenario("cologne8"))).devices()) == list(cast.devices())


def test_personal_devices_name_their_person_and_the_reason(cast: Cast) -> None:
    """A data subject and a processing activity go together."""
    personal = [device for device in cast.devices() if device.data_subject]

    assert len(personal) == 2
    assert all(device.processing_activity for device in personal)


def test_every_observed_property_of_a_type_is_in_the_catalogue() -> None:
    """Types name only what exists."""
    named = {name.removeprefix("observedProperties/") for one in DEVICE_TYPES for name in one.observed_properties}

    assert named == set(DOMAIN_OF)


def test_utm_is_inverted_to_a_few_metres() -> None:
    """The CN Tower: zone 17 N, 630,084 m east, 4,833,438 m north is 43.642567 N, 79.387139 W."""
    place = _from_utm(630_084.0, 4_833_438.0, 17)

    assert place.latitude == pytest.approx(43.642567, abs=1e-5)
    assert place.longitude == pytest.approx(-79.387139, abs=1e-5)


def test_a_play_begins_so_that_no_event_leads_its_receipt() -> None:
    """Even the last second is in the past when the play begins, and local programmes stand as in the scenario."""
    begin_s = first_second(1_700_000_000_000_000, 600, 25_200, [72, 90])

    assert begin_s + 600 <= 1_700_000_000
    assert (begin_s - 25_200) % 360 == 0
    assert 1_700_000_000 - 600 - begin_s <= 361
