"""One service as a process of its own, for tests that kill it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from maasloop.stack.services import module_name, setting_name


@contextmanager
def service_process(service: str, **settings: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Start ``python -m maasloop.<service>`` with these settings, and kill it at the end of the block.

    It identifies nobody unless its settings say otherwise, as its servers are those of tests of parts.
    """
    settings = {"insecure_on_loopback": True, **settings}
    variables = {setting_name(service, name): str(value) for name, value in settings.items()}
    child = subprocess.Popen([sys.executable, "-m", module_name(service)], env={**os.environ, **variables})
    try:
        yield child
    finally:
        child.kill()
        child.wait()
