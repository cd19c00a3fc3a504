"""``python -m maasloop.ingest``."""

import sys

from maasloop.ingest.app import PACKAGE, assemble
from maasloop.ingest.settings import IngestSettings
from maasloop.runtime.entry import entry

if __name__ == "__main__":
    sys.exit(entry(IngestSettings, assemble, package=PACKAGE))
