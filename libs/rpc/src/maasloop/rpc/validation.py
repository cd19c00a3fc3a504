"""Requests against the rules of their protos, before any handler sees them."""

from functools import cache

from google.protobuf.message import Message
from protovalidate import FieldPathPb, Validator, Violation

from maasloop.core.errors import InvalidArgument

from .texts import require_texts

VIOLATIONS_NAMED_MAX = 10


@cache
def _validator() -> Validator:
    # One for the process: it compiles the rules of a message once.
    return Validator()


def validate(message: Message) -> None:
    """Refuse a message that breaks a rule; the first fields are named, comma-separated, with their rules.

    What every text must keep to is no rule of a single field (``texts``).
    """
    require_texts(message)
    violations = _validator().collect_violations(message)
    if not violations:
        return
    named = violations[:VIOLATIONS_NAMED_MAX]
    sentences = [f"{_field(violation)}: {violation.proto.message or violation.proto.rule_id}" for violation in named]
    metadata = {
        "field": ",".join(_field(violation) for violation in named),
        "rule": ",".join(violation.proto.rule_id for violation in named),
    }
    raise InvalidArgument("REQUEST_INVALID", "; ".join(sentences), metadata)


def _field(violation: Violation) -> str:
    path = violation.proto.field
    return _dotted(path) if path is not None else ""


def _dotted(path: FieldPathPb) -> str:
    parts = []
    for element in path.elements:
        subscript = f"[{element.subscript.value}]" if element.subscript is not None else ""
        parts.append(f"{element.field_name}{subscript}")
    return ".".join(parts)
