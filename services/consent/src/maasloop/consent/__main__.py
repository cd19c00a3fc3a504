"""``python -m maasloop.consent``."""

import sys

from maasloop.consent.app import PACKAGE, assemble
from maasloop.consent.settings import ConsentSettings
from maasloop.runtime.entry import entry

if __name__ == "__main__":
    sys.exit(entry(ConsentSettings, assemble, package=PACKAGE))
