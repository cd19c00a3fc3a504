"""Everything in a district goes back to local control, and stays there until somebody resumes."""

from dataclasses import dataclass

from maasloop.actuation.domain.authority import Authority
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.command import State, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.journal import Entry, JournalEntry
from maasloop.actuation.domain.override import ended
from maasloop.actuation.domain.setpoint import LocalControl
from maasloop.actuation.ports import Ledger
from maasloop.core.reasons import Reason

ISSUER = "release"


@dataclass(frozen=True, slots=True)
class Release:
    """What a release did."""

    released: bool
    superseded: int
    ended_overrides: int
    batch: Batch


class ReleaseDistrict:
    """Releases a district, or takes it up again; doing either twice changes nothing."""

    def __init__(self, city: City, ledger: Ledger) -> None:
        """Work on the city's state."""
        self._city = city
        self._ledger = ledger

    async def __call__(self, district: District, justification: str, *, resume: bool, moment: Moment) -> Release:
        """Return what was done, once it is durable; the local control commands in it are still to be sent."""
        batch = Batch(released={district.id: not resume})
        entry = Entry.DISTRICT_RESUMED if resume else Entry.DISTRICT_RELEASED
        batch.journal.append(JournalEntry(moment.wall_us, district.id, entry, district.id, ISSUER, "", justification))
        if resume:
            district.released = False
            await self._ledger.commit(batch)
            return Release(released=False, superseded=0, ended_overrides=0, batch=batch)
        district.released = True
        held = sorted({*district.open_by_device, *district.holders, *district.lamp_states})
        superseded = self._supersede(district, batch, moment)
        overrides = self._end_overrides(district, batch, moment)
        district.holders.clear()
        for device in held:
            batch.merge(self._localise(district, device, moment))
        await self._ledger.commit(batch)
        return Release(released=True, superseded=superseded, ended_overrides=overrides, batch=batch)

    def _supersede(self, district: District, batch: Batch, moment: Moment) -> int:
        count = 0
        for command in list(district.commands.values()):
            detail = "the district was released"
            changed = settled(command, State.SUPERSEDED, Reason.LOCAL_CONTROL, detail, wall_us=moment.wall_us)
            if changed is not None:
                district.keep(changed)
                batch.commands.append(changed)
                count += 1
        return count

    def _end_overrides(self, district: District, batch: Batch, moment: Moment) -> int:
        count = 0
        for override in list(district.overrides.values()):
            if override.in_force(moment.street_us):
                batch.overrides.append(ended(override, wall_us=moment.wall_us))
                count += 1
        district.overrides.clear()
        return count

    def _localise(self, district: District, device: str, moment: Moment) -> Batch:
        request = Request(
            device=device,
            setpoint=LocalControl(),
            authority=Authority.OPERATOR,
            issuer=ISSUER,
            cause=ISSUER,
            seed=f"{moment.wall_us}",
        )
        batch = issue(district, self._city.capabilities_of(district.device(device)), request, moment)
        district.holders.pop(device, None)
        return batch
