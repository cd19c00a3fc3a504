"""Writes ``maasloop.core.reasons``: the names of ``ErrorReason`` for code that may not import protobuf."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import EnumDescriptorProto

from generators.descriptors import File

ERROR_REASON = "maasloop.api.common.v1.ErrorReason"
PREFIX = "ERROR_REASON_"

_HEAD = '''"""Reasons of refusals: the names of ``maasloop.api.common.v1.ErrorReason`` without their prefix.

Generated from ``proto/maasloop/api/common/v1/error_reason.proto`` by ``make proto``; never edited. It exists so that a
service's domain may name a reason without importing protobuf.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a request, a reading or a command was refused."""
'''


class Reason(NamedTuple):
    """One value of the enum."""

    name: str
    number: int
    comment: str


def reasons(files: list[File]) -> Iterator[Reason]:
    """Yield every reason but the unspecified one, in order of declaration."""
    file, enum = next((file, enum) for file in files for enum in file.enums() if enum.name == ERROR_REASON)
    assert isinstance(enum.descriptor, EnumDescriptorProto)
    for index, value in enumerate(enum.descriptor.value):
        if value.number:
            yield Reason(value.name.removeprefix(PREFIX), value.number, file.value_comment(enum, index))


def reasons_source(files: list[File]) -> str:
    """Return the text of ``reasons.py``."""
    return _HEAD + "".join(_member(reason) for reason in reasons(files))


def _member(reason: Reason) -> str:
    comment = "\n    ".join(reason.comment.splitlines())
    return f'\n    {reason.name} = "{reason.name}"\n    """{comment}"""\n'
