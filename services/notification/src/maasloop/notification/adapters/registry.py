"""What the registry says: which clock a district has, and whether a device is out of service.

Districts are few, so all of them are read again when the catalogue changes, and every few seconds in case that was not
heard. Whether a device is retired is asked only of the few that fell silent.
"""

import asyncio
from typing import TYPE_CHECKING

import grpc
import structlog

from maasloop.api.device.v1.device_pb2 import Device, District
from maasloop.api.device.v1.device_service_pb2 import GetDeviceRequest, ListDistrictsRequest
from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceStub
from maasloop.core.errors import MaasloopError, NotFound
from maasloop.core.ids import DeviceName, DistrictName
from maasloop.notification.domain.street_clock import StreetClocks
from maasloop.rpc.client import call

if TYPE_CHECKING:
    from maasloop.api.device.v1.device_service_pb2_grpc import DeviceServiceAsyncStub

REFRESH_INTERVAL_S = 5.0
RETRY_PAUSE_S = 0.5
CALL_TIMEOUT_S = 3.0
DISTRICTS_PER_PAGE = 1_000

_log = structlog.get_logger()


class RegistryClient:
    """Asks the registry. Task: ``follow``; ``refresh`` makes it look at once."""

    def __init__(self, channel: grpc.aio.Channel, clocks: StreetClocks) -> None:
        self._stub: DeviceServiceAsyncStub = DeviceServiceStub(channel)
        self._clocks = clocks
        self._wanted = asyncio.Event()
        self._known = False

    def refresh(self) -> None:
        """Look at the districts again, soon."""
        self._wanted.set()

    async def follow(self) -> None:
        """Keep the clocks of districts up to date, for ever."""
        while True:
            self._wanted.clear()
            pause_s = REFRESH_INTERVAL_S
            try:
                self._clocks.follow(await self._devices())
                self._known = True
            except (MaasloopError, grpc.aio.AioRpcError) as error:
                _log.warning("registry_awaited", reason=repr(error))
                pause_s = RETRY_PAUSE_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def check(self) -> str | None:
        """Return why the clocks are of no use, or nothing; for a readiness probe."""
        return None if self._known else "the districts are not known yet"

    async def retired(self, district: str, device: str) -> bool:
        """Tell whether a device is out of service for good; not where nobody can say."""
        request = GetDeviceRequest(name=str(DeviceName(district, device)))
        try:
            found: Device = await call(self._stub.GetDevice, request, timeout_s=CALL_TIMEOUT_S)
        except NotFound:
            return False
        except (MaasloopError, grpc.aio.AioRpcError) as error:
            _log.warning("registry_not_asked", reason=repr(error))
            return False
        return found.state == Device.STATE_RETIRED

    async def _devices(self) -> dict[str, str]:
        """Return the device that moves the clock of each district, none for wall time."""
        devices: dict[str, str] = {}
        token = ""
        while True:
            request = ListDistrictsRequest(page_size=DISTRICTS_PER_PAGE, page_token=token)
            page = await call(self._stub.ListDistricts, request, timeout_s=CALL_TIMEOUT_S)
            for district in page.districts:
                field_time = district.clock == District.CLOCK_FIELD
                devices[DistrictName.parse(district.name).district] = district.clock_device if field_time else ""
            token = page.next_page_token
            if not token:
                return devices
