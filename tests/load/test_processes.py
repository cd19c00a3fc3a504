"""What is read of processes that come and go."""

import os
import subprocess
import sys

from tests.load.processes import open_descriptors


def test_a_process_that_ended_has_nothing_open() -> None:
    """A sample without it would be one short, and half an hour of samples of no use."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert open_descriptors(ended.pid) == 0
    assert open_descriptors(os.getpid()) > 0
