"""Valid requests of every method, from the descriptors: names by the patterns of the comments, the rest by its rules."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator

CONTRACT = Path("proto/maasloop/api")
REPAIRS_MAX = 40
_VALIDATOR = Validator()
_ONE_OF = {"domain": "traffic", "language": "nl", "retention": "7d", "url": "https://example.org/hook"}
"""A value of the fields that take only some."""
_PATTERN = re.compile(r"`((?:[a-zA-Z]+/\{[a-z_]+\}/?)+)`")
_MESSAGE = re.compile(r"^\s*message (\w+) \{")
_FIELD = re.compile(r"^\s*(?:repeated )?[\w.]+ (\w+) = \d+")


def methods() -> list[MethodDescriptor]:
    """Return every method of every service of the contract."""
    found = []
    for path in sorted(CONTRACT.rglob("*.proto")):
        module = import_module("maasloop.api." + ".".join(path.relative_to(CONTRACT).with_suffix("").parts) + "_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            found += service.methods
    return found


def request(method: MethodDescriptor, district: str, data_subject: str) -> Message:
    """Return a valid request about a district and a person; ``-`` or nothing stands for all of them."""
    message: Message = GetMessageClass(method.input_type)()
    for name in required(message):
        _fill(message, name)
    violations = []
    for _ in range(REPAIRS_MAX):
        # What belongs to a district without saying so in its name has the district's id here.
        placed = dict.fromkeys(("policy", "alert_rule", "entry"), "x" if district == "-" else district)
        _name(message, {"district": district, "data_subject": data_subject, **placed})
        violations = _VALIDATOR.collect_violations(message)
        if not violations:
            return message
        for violation in violations:
            path = violation.proto.field
            _repair(message, [element.field_name for element in path.elements] if path else [], violation.proto.rule_id)
    problem = f"no valid request of {method.full_name}: {violations[0].proto}"
    raise ValueError(problem)


def required(message: Message) -> Iterator[str]:
    """Yield the fields that hold a message and are not one of several."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated and not field.containing_oneof:
            yield field.name


def _fill(message: Message, name: str) -> None:
    """Set a field that a name may hide in."""
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None and field.message_type.full_name.startswith("maasloop."):
        getattr(message, name).SetInParent()


def _name(message: Message, ids: dict[str, str]) -> None:
    """Write names by their pattern, ids of districts, and what lies below."""
    for field in message.DESCRIPTOR.fields:
        pattern = _patterns().get((message.DESCRIPTOR.name, field.name))
        if field.type == FieldDescriptor.TYPE_STRING and (pattern or field.name == "district"):
            text = re.sub(r"\{(\w+)\}", lambda key: ids.get(key[1], "x"), pattern or "{district}")
            if "/{data_subject}" in (pattern or "") and not ids["data_subject"]:
                text = ""
            if field.is_repeated:
                del getattr(message, field.name)[:]
                getattr(message, field.name).append(text)
            else:
                setattr(message, field.name, text)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated and message.HasField(field.name):
            _name(getattr(message, field.name), ids)


def _repair(message: Message, path: list[str], rule: str) -> None:
    """Change what a rule names so that it holds."""
    *parents, name = path or [""]
    for parent in parents:
        below = getattr(message, parent)
        message = below if isinstance(below, Message) else below[0]
    descriptor = message.DESCRIPTOR
    if name in descriptor.oneofs_by_name:
        name = descriptor.oneofs_by_name[name].fields[0].name
    if name not in descriptor.fields_by_name:
        problem = f"nobody knows how to mend {rule} at {'.'.join(path)}"
        raise ValueError(problem)
    field = descriptor.fields_by_name[name]
    if field.is_repeated:
        _add(message, name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, name).SetInParent()
        if field.message_type is not None and field.message_type.name == "Duration":
            getattr(message, name).FromSeconds(1)
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, name, str(uuid4()) if "uuid" in rule else _ONE_OF.get(name, "x"))
    elif field.type == FieldDescriptor.TYPE_BYTES:
        setattr(message, name, b"x")
    else:
        setattr(message, name, 1)


def _add(message: Message, name: str) -> None:
    field, many = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        many["nl"] = many["en"] = "x"
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        many.add()
    else:
        many.append("x" if field.type == FieldDescriptor.TYPE_STRING else 1)


@cache
def _patterns() -> dict[tuple[str, str], str]:
    """Return the pattern of names that the comment of a field shows, by message and field."""
    found: dict[tuple[str, str], str] = {}
    for path in CONTRACT.rglob("*.proto"):
        message, comment = "", ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if opened := _MESSAGE.match(line):
                message, comment = opened[1], ""
            elif line.strip().startswith("//"):
                comment += line
            elif named := _FIELD.match(line):
                if shown := _PATTERN.search(comment):
                    found[message, named[1]] = shown[1].rstrip("/")
                comment = ""
    return found
