"""A registry that commits revocations and closes nothing: a fault for the lane of revocation to find."""

import sys

from maasloop.device_registry.__main__ import main
from maasloop.device_registry.domain.credential import Holder
from maasloop.device_registry.handlers.close_connections import CloseConnections


async def _nothing(_self: CloseConnections, _holder: Holder | None = None) -> int:
    return 0


if __name__ == "__main__":
    CloseConnections.__call__ = _nothing  # type: ignore[method-assign, assignment]  # the fault
    sys.exit(main())
