"""An override ends before its time: what it held belongs to the next in rank again."""

from maasloop.actuation.domain import holding
from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.city import City
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.domain.issuing import Request, issue
from maasloop.actuation.domain.journal import Entry, JournalEntry
from maasloop.actuation.domain.override import Override, ended
from maasloop.actuation.domain.setpoint import LocalControl
from maasloop.actuation.ports import Ledger, Records
from maasloop.core.errors import NotFound
from maasloop.core.reasons import Reason


class EndOverride:
    """Ends an override; an ended or expired one stays as it is."""

    def __init__(self, city: City, evaluation: Evaluation, ledger: Ledger, records: Records) -> None:
        """Work on the city's state."""
        self._city = city
        self._evaluation = evaluation
        self._ledger = ledger
        self._records = records

    async def __call__(self, district: District, name: str, moment: Moment) -> tuple[Override, Batch]:
        """Return the durable override and what its end leads to."""
        override = await self._records.override(district.id, name)
        if override is None:
            message = f"no override {name} in district {district.id}"
            raise NotFound(Reason.RESOURCE_NOT_FOUND, message, {"name": f"districts/{district.id}/overrides/{name}"})
        if not override.in_force(moment.street_us):
            return override, Batch()
        override = ended(override, wall_us=moment.wall_us)
        district.overrides.pop(name, None)
        holding.let_go(district, override, moment)
        target = override.device or override.group
        journal = JournalEntry(moment.wall_us, district.id, Entry.OVERRIDE_ENDED, target, override.issuer)
        batch = Batch(overrides=[override], journal=[journal])
        batch.merge(self._evaluation.keep(district, moment))
        batch.merge(self._return(district, override, moment, {command.device for command in batch.commands}))
        await self._ledger.commit(batch)
        return override, batch

    def _return(self, district: District, override: Override, moment: Moment, taken: set[str]) -> Batch:
        """Send what nobody wants anything of back to its own programme."""
        batch = Batch()
        if isinstance(override.setpoint, LocalControl):
            return batch
        for device in holding.targets(district, override):
            if device in taken or district.holder(device, moment.street_us) is not None:
                continue
            request = Request(
                device=device,
                setpoint=LocalControl(),
                authority=override.authority,
                issuer=override.issuer,
                cause=override.issuer,
                seed="ended",
            )
            batch.merge(issue(district, self._city.capabilities_of(district.device(device)), request, moment))
            district.holders.pop(device, None)
        return batch
