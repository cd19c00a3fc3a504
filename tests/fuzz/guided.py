"""Fuzzing one target by coverage, in a process of its own: ``python -m tests.fuzz.guided TARGET EXECUTIONS SECONDS``.

A fault ends the process: libFuzzer prints the payload's digest and writes it beside the corpus.
"""

import importlib
import sys
from typing import Any

from maasloop.core.errors import InvalidArgument

ARGUMENTS = 6


def main() -> None:
    """Fuzz until the executions or the seconds are used up."""
    if len(sys.argv) != ARGUMENTS:
        raise SystemExit(__doc__)
    name, executions, seconds, seed, folder = sys.argv[1:]
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["maasloop.ingest.domain", "maasloop.ingest.entrypoints"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = next(target for target in targets if target.name == name)

    def run(payload: bytes) -> None:
        try:
            target.run(payload)
        except InvalidArgument:
            return

    arguments = [
        "fuzz",
        folder,
        f"-runs={executions}",
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        "-max_len=65536",
        "-len_control=20",
        "-print_final_stats=1",
        "-verbosity=0",
        "-rss_limit_mb=1024",
        "-timeout=5",
        f"-artifact_prefix={folder}/../fault-{name}-",
    ]
    atheris.Setup(arguments, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
