"""Write down in whose name clients were refused."""

from maasloop.core.errors import MaasloopError
from maasloop.device_registry.domain.refusals import RefusalTally
from maasloop.device_registry.ports import Credentials


class KeepRefusals:
    """Adds what was counted here to what all replicas have written."""

    def __init__(self, tally: RefusalTally, credentials: Credentials) -> None:
        """Take from this tally."""
        self._tally = tally
        self._credentials = credentials

    async def __call__(self) -> int:
        """Return of how many holders something was written."""
        refused = self._tally.taken()
        if refused:
            try:
                await self._credentials.add_refusals(refused)
            except MaasloopError:
                self._tally.put_back(refused)
                raise
        return len(refused)
