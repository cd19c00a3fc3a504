"""``python -m maasloop.notification``."""

import sys

from maasloop.notification.app import PACKAGE, assemble
from maasloop.notification.settings import NotificationSettings
from maasloop.runtime.entry import entry

if __name__ == "__main__":
    sys.exit(entry(NotificationSettings, assemble, package=PACKAGE))
