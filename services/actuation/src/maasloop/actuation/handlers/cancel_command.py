"""The caller withdraws a command; its target belongs to the next in rank again."""

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import Command, State, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.actuation.domain.evaluation import Evaluation
from maasloop.actuation.ports import Ledger, Records
from maasloop.core.errors import FailedPrecondition, NotFound
from maasloop.core.reasons import Reason


class CancelCommand:
    """Withdraws a command that is not terminal."""

    def __init__(self, evaluation: Evaluation, ledger: Ledger, records: Records) -> None:
        """Read terminal commands from the records."""
        self._evaluation = evaluation
        self._ledger = ledger
        self._records = records

    async def __call__(self, district: District, name: str, moment: Moment) -> tuple[Command, Batch]:
        """Return the durable command as superseded, and what follows from it."""
        command = district.commands.get(name) or await self._records.command(district.id, name)
        resource = {"name": f"districts/{district.id}/commands/{name}"}
        if command is None:
            raise NotFound(Reason.RESOURCE_NOT_FOUND, f"no command {name} in district {district.id}", resource)
        detail = "the caller withdrew it"
        ended = settled(command, State.SUPERSEDED, Reason.COMMAND_CANCELLED, detail, wall_us=moment.wall_us)
        if ended is None:
            message = f"the command is {command.state.lower()} and stays so"
            raise FailedPrecondition(Reason.STATE_FORBIDS, message, {"state": str(command.state)})
        district.keep(ended)
        holder = district.holders.get(ended.device)
        if holder is not None and holder.command == ended.id:
            del district.holders[ended.device]
        batch = Batch(commands=[ended])
        batch.merge(self._evaluation.keep(district, moment))
        await self._ledger.commit(batch)
        return ended, batch
