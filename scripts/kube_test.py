"""Run the chart on a cluster: install, test, upgrade under load, kill, scale, remove. Exits with 1 if a step fails."""

import sys

from kubecluster.run import main

if __name__ == "__main__":
    sys.exit(main())
