"""``python -m maasloop.actuation``."""

import sys

from maasloop.actuation.app import PACKAGE, assemble
from maasloop.actuation.settings import ActuationSettings
from maasloop.runtime.entry import entry

if __name__ == "__main__":
    sys.exit(entry(ActuationSettings, assemble, package=PACKAGE))
