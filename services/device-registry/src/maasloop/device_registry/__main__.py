"""``python -m maasloop.device_registry``."""

import sys

from maasloop.device_registry.app import PACKAGE, assemble
from maasloop.device_registry.settings import DeviceRegistrySettings
from maasloop.runtime.entry import entry

if __name__ == "__main__":
    sys.exit(entry(DeviceRegistrySettings, assemble, package=PACKAGE))
