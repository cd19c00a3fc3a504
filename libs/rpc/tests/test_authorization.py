"""What a call needs, read out of its request by what the contract declares, and who is refused it."""

from collections.abc import Mapping, Sequence

import pytest
from google.protobuf.message import Message

from maasloop.api.command.v1 import command_pb2, command_service_pb2
from maasloop.api.consent.v1 import consent_service_pb2
from maasloop.api.device.v1 import device_pb2, device_service_pb2
from maasloop.api.observation.v1 import ingest_service_pb2, series_service_pb2
from maasloop.core.errors import PermissionDenied
from maasloop.identity.principals import Grant, Kind, Principal
from maasloop.identity.roles import ANY, Roles
from maasloop.rpc.authorization import Place, RoleAuthorizer, permission_of

DEVICES = "/maasloop.api.device.v1.DeviceService"
COMMANDS = "/maasloop.api.command.v1.CommandService"
CONSENT = "/maasloop.api.consent.v1.ConsentService"
SERIES = "/maasloop.api.observation.v1.SeriesService"
CENTRE = "districts/centre"
INSTALLER = Principal(Kind.PERSON, "ada", grants=(Grant("installer", frozenset({"centre"})),))


async def _places(names: Sequence[str]) -> Mapping[str, Place]:
    known = {
        "consentRecords/r1": Place(data_subject="p-1"),
        "observedProperties/pm25": Place(domain="air"),
        "observedProperties/no2": Place(domain="air"),
        "districts/centre/commands/c1": Place(district="centre", domain="light"),
    }
    return {name: known[name] for name in names if name in known}


AUTHORIZER = RoleAuthorizer(Roles.load(), _places)


async def _refused(principal: Principal, method: str, request: Message, *, continued: bool = False) -> bool:
    try:
        await AUTHORIZER.authorize(principal, method, request, continued=continued)
    except PermissionDenied as error:
        return error.reason == "PERMISSION_MISSING"
    return False


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (device_service_pb2.CreateDeviceRequest(parent=CENTRE), False),
        (device_service_pb2.CreateDeviceRequest(parent="districts/south"), True),
        (device_service_pb2.CreateDeviceRequest(parent="districts/-"), True),
        (device_service_pb2.CreateDeviceRequest(), True),
        (device_service_pb2.CreateDeviceRequest(parent="centre/districts"), True),
    ],
)
async def test_the_district_comes_from_the_request(request_: Message, refused: bool) -> None:
    """The parent names the district; none, all, or something else is the whole city."""
    assert await _refused(INSTALLER, f"{DEVICES}/CreateDevice", request_) is refused


async def test_a_name_inside_a_message_counts() -> None:
    """The name of the resource that an update carries is looked at."""
    own = device_service_pb2.UpdateDeviceRequest(device=device_pb2.Device(name=f"{CENTRE}/devices/d"))
    foreign = device_service_pb2.UpdateDeviceRequest(device=device_pb2.Device(name="districts/south/devices/d"))

    assert not await _refused(INSTALLER, f"{DEVICES}/UpdateDevice", own)
    assert await _refused(INSTALLER, f"{DEVICES}/UpdateDevice", foreign)


async def test_a_further_message_may_be_silent_but_not_foreign() -> None:
    """In a stream of requests a later message without an object goes on; one that names a foreign district is refused."""
    method = f"{DEVICES}/ImportDevices"
    foreign = device_service_pb2.ImportDevicesRequest(parent="districts/south")

    assert not await _refused(INSTALLER, method, device_service_pb2.ImportDevicesRequest(), continued=True)
    assert await _refused(INSTALLER, method, device_service_pb2.ImportDevicesRequest())
    assert await _refused(INSTALLER, method, foreign, continued=True)


async def test_a_setpoint_tells_its_domain() -> None:
    """A lighting engineer sets lamps, and neither signals nor what has no domain."""
    engineer = Principal(Kind.PERSON, "ada", grants=(Grant("lighting-engineer", None),))

    async def refused(setpoint: command_pb2.Setpoint) -> bool:
        command = command_pb2.Command(setpoint=setpoint)
        request = command_service_pb2.IssueCommandRequest(parent=CENTRE, command=command)
        return await _refused(engineer, f"{COMMANDS}/IssueCommand", request)

    assert not await refused(command_pb2.Setpoint(light_level=command_pb2.LightLevel(level_percent=50)))
    assert await refused(command_pb2.Setpoint(signal_sequence=command_pb2.SignalSequence()))
    assert await refused(command_pb2.Setpoint(local_control=command_pb2.LocalControl()))
    assert await refused(command_pb2.Setpoint())


async def test_what_a_name_hides_is_looked_up() -> None:
    """Domains of commands and persons of records come from the service that knows them; unknown ones are the whole."""
    engineer = Principal(Kind.PERSON, "ada", grants=(Grant("lighting-engineer", None),))
    citizen = Principal(Kind.PERSON, "bo", grants=(Grant("citizen", None),), data_subject="p-1")
    stranger = Principal(Kind.PERSON, "cy", grants=(Grant("citizen", None),), data_subject="p-2")
    cancel, withdraw = f"{COMMANDS}/CancelCommand", f"{CONSENT}/WithdrawConsent"
    record = consent_service_pb2.WithdrawConsentRequest(name="consentRecords/r1")

    assert not await _refused(engineer, cancel, command_service_pb2.CancelCommandRequest(name=f"{CENTRE}/commands/c1"))
    assert await _refused(engineer, cancel, command_service_pb2.CancelCommandRequest(name=f"{CENTRE}/commands/c2"))
    assert not await _refused(citizen, withdraw, record)
    assert await _refused(stranger, withdraw, record)
    assert await _refused(citizen, withdraw, consent_service_pb2.WithdrawConsentRequest(name="consentRecords/r2"))


async def test_properties_tell_their_domain() -> None:
    """A grant for air reads series of air, and no selection that leaves the properties open."""
    observer = Principal(Kind.PROGRAM, "app", grants=(Grant("viewer", None, frozenset({"air"})),))

    async def refused(*properties: str) -> bool:
        selection = series_service_pb2.SeriesSelection(parent=CENTRE, observed_properties=properties)
        request = series_service_pb2.ListLatestObservationsRequest(selection=selection)
        return await _refused(observer, f"{SERIES}/ListLatestObservations", request)

    assert not await refused("pm25", "no2")
    assert await refused("pm25", "heart-rate")
    assert await refused()


async def test_a_method_without_a_permission_is_refused_to_all() -> None:
    """What declares nothing is closed, to the operator of the machine as well."""
    operator = Principal(Kind.OPERATOR, "local")

    assert not permission_of("/maasloop.api.lamp.v1.LampService/Shine").name
    assert await _refused(operator, "/maasloop.api.lamp.v1.LampService/Shine", device_service_pb2.GetDeviceRequest())
    assert not await _refused(operator, f"{DEVICES}/WatchDevices", device_service_pb2.WatchDevicesRequest())


async def test_a_shared_thing_needs_no_district() -> None:
    """The catalogue is shown to whoever has a grant anywhere."""
    need = await AUTHORIZER.need(
        permission_of(f"{DEVICES}/ListDeviceTypes"), device_service_pb2.ListDeviceTypesRequest()
    )

    assert need.districts == ANY


async def test_many_names_are_looked_up_at_once() -> None:
    """A request of a thousand entries asks its service once, and one of them that nobody knows makes it the whole city's."""
    asked: list[int] = []

    async def places(names: Sequence[str]) -> Mapping[str, Place]:
        asked.append(len(names))
        return {name: Place(district="centre") for name in names if not name.endswith("/none")}

    method = "/maasloop.api.observation.v1.IngestService/ReplayQuarantine"
    permission, authorizer = permission_of(method), RoleAuthorizer(Roles.load(), places)
    names = [f"quarantineEntries/{number}" for number in range(1_000)]
    here = await authorizer.need(permission, ingest_service_pb2.ReplayQuarantineRequest(names=names))
    names[7] = "quarantineEntries/none"
    everywhere = await authorizer.need(permission, ingest_service_pb2.ReplayQuarantineRequest(names=names))

    assert asked == [1_000, 1_000]
    assert (here.districts, everywhere.districts) == (frozenset({"centre"}), None)
