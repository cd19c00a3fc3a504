"""The tutorials hold: their blocks are run, line by line, against a running stack."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import pages

from maasloop.stack.local import LocalStack

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
MAKE_TARGETS = {"make up": "up", "make down": "down", "make chart": "chart", "make proto-image": "proto-image"}
"""Commands of the checkout itself: the fixture stands for them, and the Makefile must have them."""
NAMED = 'eval "$(maasloop status --shell)"'
OWN_SHELL = {". .venv/bin/activate", NAMED}
"""What changes the reader's own shell; the fixture does it for every line."""


@pytest.fixture(name="environment", scope="module")
def _environment(shared_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    environment = {
        **pages.environment(shared_stack.directory.root),
        "CREDENTIALS": str(Path(shared_stack.directory.read().nats_users) / "integrator-guide.creds"),
        "SECRETS": str(tmp_path_factory.mktemp("secrets")),
    }
    told = _run(f"{NAMED} && env", environment)
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def _lines(tutorial: str) -> Iterator[str]:
    for block in pages.blocks(TUTORIALS / tutorial):
        yield from (line for line in block if line.strip() and line not in OWN_SHELL)


def _run(line: str, environment: dict[str, str]) -> str:
    """Run one line of a tutorial as a reader would, and return what it prints."""
    return pages.run_line(line, environment, folder=ROOT)


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_the_tutorial_for_callers_of_grpc(environment: dict[str, str]) -> None:
    """Readings recorded over gRPC are accepted and read back with their values."""
    printed = "".join(_run(line, environment) for line in _lines("grpc-caller.md") if line not in MAKE_TARGETS)

    assert "accepted 2, refused 0" in printed
    assert "districts/delfshaven/devices/air-pier: 8.5" in printed


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_the_tutorial_for_integrators(environment: dict[str, str]) -> None:
    """A listener that knows only the contract hears what a device sends over MQTT."""
    listening, publishing = ("listen.py", "publish.py")
    heard = ""
    waiting: subprocess.Popen[str] | None = None
    for line in _lines("integrator.md"):
        if line in MAKE_TARGETS:
            continue
        if listening in line:
            waiting = subprocess.Popen(  # noqa: S602 - a line of our own page
                line, shell=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            )
            continue
        if publishing in line:
            while waiting is not None and waiting.poll() is None:
                assert "acknowledged" in _run(line, environment)
                try:
                    heard = waiting.communicate(timeout=2)[0]
                except subprocess.TimeoutExpired:
                    # It was not listening yet: a core subscription hears only what passes by.
                    continue
            continue
        _run(line, environment)

    assert heard == "pm25 9.75\n"


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_the_tutorial_for_makers_of_devices(environment: dict[str, str]) -> None:
    """A device enrols, is heard, is refused in three ways, and is heard again once it is released."""
    printed = [_run(line, environment) for line in _lines("device.md") if line not in MAKE_TARGETS]

    told = "".join(printed)
    assert told.count("acknowledged") == 2
    assert "CLAIM_INVALID" in told
    assert "devices/air-park is in quarantine; 0 of its connections are not gone" in told
    assert told.count("refused: Not authorized") == 2
    assert printed[-1] == "acknowledged\n"


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_the_tutorial_for_platform_engineers(environment: dict[str, str], shared_stack: LocalStack) -> None:
    """The balance shown at the end loses nothing; the stack's own commands exist in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    printed = ""
    for line in _lines("platform-engineer.md"):
        if line in MAKE_TARGETS:
            assert f"\n{MAKE_TARGETS[line]}:" in makefile
            continue
        command = line.replace("maasloop ", f"maasloop --root {shared_stack.directory.root} ", 1)
        printed += _run(command if line.startswith("maasloop") else line, environment)

    assert "accepted" in printed
    assert "every accepted reading is accounted for" in printed
