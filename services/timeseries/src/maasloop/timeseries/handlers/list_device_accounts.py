"""The accounts of devices, by pages; devices of persons are left out."""

from collections.abc import Sequence

from maasloop.core.errors import Unavailable
from maasloop.core.reasons import Reason
from maasloop.timeseries.ports.accounting import AccountReader, DeviceAccount, Persons
from maasloop.timeseries.ports.reading import Visibility


class ListDeviceAccounts:
    """What became of the readings of each device."""

    def __init__(self, accounts: AccountReader, persons: Persons, visibility: Visibility) -> None:
        """Read accounts of devices that belong to nobody."""
        self._accounts = accounts
        self._persons = persons
        self._visibility = visibility

    async def __call__(
        self, district: str, devices: Sequence[str], *, size: int, after: str
    ) -> tuple[list[DeviceAccount], str]:
        """Return a page and the device after which the next begins, empty at the end."""
        if not self._visibility.ready():
            raise Unavailable(Reason.NEIGHBOUR_UNAVAILABLE, "the registry's facts have not arrived")
        found = await self._accounts.devices(district, devices, after=after, size=size + 1)
        page = found[:size]
        shown = [account for account in page if not self._persons.of_person(district, account.device)]
        return shown, page[-1].device if len(found) > size else ""
