"""``python -m maasloop.timeseries``."""

import sys

from maasloop.runtime.entry import entry
from maasloop.timeseries.app import PACKAGE, assemble
from maasloop.timeseries.settings import TimeseriesSettings

if __name__ == "__main__":
    sys.exit(entry(TimeseriesSettings, assemble, package=PACKAGE))
