"""``python -m maasloop.device_registry``, and ``… revoke districts/{district}/devices/{device}`` beside a dead one."""

import asyncio
import sys

from maasloop.core.errors import MaasloopError
from maasloop.device_registry.app import PACKAGE, assemble, revoke
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.runtime.entry import entry

REVOKE = "revoke"


def main() -> int:
    """Serve, or revoke one device with the settings of the service."""
    if sys.argv[1:2] != [REVOKE]:
        return entry(DeviceRegistrySettings, assemble, package=PACKAGE)
    try:
        left = asyncio.run(revoke(DeviceRegistrySettings.load(), sys.argv[2]))
    except MaasloopError as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
        return 1
    sys.stdout.write(f"{sys.argv[2]} is in quarantine; {left} of its connections are not gone\n")
    return min(left, 1)


if __name__ == "__main__":
    sys.exit(main())
