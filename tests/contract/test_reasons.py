"""Every reason that code gives is one of the contract's."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from maasloop.api.common.v1.error_reason_pb2 import ErrorReason
from maasloop.core import errors
from maasloop.core.errors import MaasloopError
from maasloop.core.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
REASONS = ROOT / "libs" / "core" / "src" / "maasloop" / "core" / "reasons.py"
WORD = re.compile(r"[A-Z][A-Z_]+")
ERRORS = {
    name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, MaasloopError)
}  # fmt: skip


def _given(source: str) -> Iterator[tuple[int, str]]:
    """Yield texts given as a reason: first to an error, or by the name ``reason`` to any call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            named = [each.value for each in node.keywords if each.arg == "reason"]
            for value in [*(node.args[:1] if name in ERRORS else []), *named]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.isupper():
                    yield value.lineno, value.value


def _unknown(source: str) -> list[str]:
    return [f"{line}: {reason}" for line, reason in _given(source) if reason not in Reason]


def test_reasons_in_code_are_in_the_contract() -> None:
    """No member invents a reason that a caller could not look up."""
    sources = [path for top in ("libs", "services") for path in (ROOT / top).glob("*/src/**/*.py")]
    found = [f"{path.relative_to(ROOT)}:{each}" for path in sources for each in _unknown(path.read_text())]

    assert not found, "\n".join(found)


def _never_given(sources: Iterable[str]) -> set[str]:
    return {str(reason) for reason in Reason}.difference(*(WORD.findall(source) for source in sources))


def test_every_reason_is_given_somewhere() -> None:
    """The contract promises no reason that nobody ever hears."""
    paths = [path for top in ("libs", "services") for path in (ROOT / top).glob("*/src/**/*.py")]

    assert not _never_given(path.read_text() for path in paths if path != REASONS and "_pb2" not in path.name)
    assert _never_given(["Reason.SHED"]) == set(Reason) - {"SHED"}


@pytest.mark.parametrize(
    "source", ['NotFound("LAMP_LOST", "gone")', 'errors.NotFound("LAMP_LOST", "gone")', 'Refused(reason="LAMP_LOST")']
)
def test_invented_reason_is_seen(source: str) -> None:
    """A reason that the contract does not know is reported."""
    assert _unknown(source) == ["1: LAMP_LOST"]


def test_known_reason_passes() -> None:
    """A reason of the contract is fine, as text or by name."""
    assert _unknown('NotFound("DEVICE_UNKNOWN", "no")\nNotFound(Reason.DEVICE_UNKNOWN, "no")') == []


def test_names_equal_the_enum() -> None:
    """``Reason`` has the names of ``ErrorReason``, without the prefix and the unspecified one."""
    names = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()]  # noqa: SIM118 - an enum wrapper is no dict

    assert names[1:] == list(Reason)
