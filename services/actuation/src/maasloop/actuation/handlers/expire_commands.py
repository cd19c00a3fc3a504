"""Commands whose expiry came before anything else settled them; the street is on its own programme again."""

from maasloop.actuation.domain.batch import Batch
from maasloop.actuation.domain.command import State, settled
from maasloop.actuation.domain.district import District, Moment
from maasloop.core.reasons import Reason


class ExpireCommands:
    """Closes what time has closed."""

    def __call__(self, district: District, moment: Moment) -> Batch:
        """Settle expired commands."""
        batch = Batch()
        for command in list(district.commands.values()):
            if command.expire_us > moment.street_us:
                continue
            detail = "its expiry came before its effect was observed"
            changed = settled(command, State.EXPIRED, Reason.COMMAND_EXPIRED, detail, wall_us=moment.wall_us)
            if changed is not None:
                district.keep(changed)
                batch.commands.append(changed)
        return batch
