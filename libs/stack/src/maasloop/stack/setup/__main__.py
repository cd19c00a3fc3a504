"""Entry point of ``scripts/setup``."""

import sys

from maasloop.stack.setup.plan import main

sys.exit(main())
