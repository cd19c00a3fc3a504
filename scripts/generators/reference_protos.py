"""Writes ``proto.md``: every service, message and enum of the contracts with its comments."""

from collections.abc import Iterator
from itertools import groupby

from buf.validate import validate_pb2
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    ServiceDescriptorProto,
)

from generators.descriptors import Element, File
from generators.pages import code, page, section, table

_INTRODUCTION = """
A column `rules` holds what protovalidate checks before a handler sees a request. A field's behaviour (AIP-203) says who
writes it: callers send REQUIRED and OPTIONAL fields, the server alone writes OUTPUT_ONLY ones.

A list of a district that does not exist is empty, not an error: only the registry knows at any moment which districts
there are, and its GetDistrict says NOT_FOUND (RESOURCE_NOT_FOUND).
"""


def proto_page(files: list[File]) -> str:
    """Return the page."""
    packages = groupby(files, key=lambda file: file.proto.package)
    sections = [section(package, *_package(list(group))) for package, group in packages]
    return page("Contracts", "the comments in `proto/`", _INTRODUCTION, *sections)


def _package(files: list[File]) -> Iterator[str]:
    for file in files:
        yield from (_service(file, element) for element in file.services())
    for file in files:
        yield from (_message(file, element) for element in file.messages())
        yield from (_enum(file, element) for element in file.enums())


def _title(element: Element) -> str:
    """Return the name within its package."""
    return element.name.partition(".v1.")[2]


def _service(file: File, element: Element) -> str:
    service = element.descriptor
    assert isinstance(service, ServiceDescriptorProto)
    rows = [
        (
            code(method.name),
            _streamed(method.input_type, streaming=method.client_streaming),
            _streamed(method.output_type, streaming=method.server_streaming),
            file.method_comment(element, index),
        )
        for index, method in enumerate(service.method)
    ]
    methods = table(("method", "request", "answer", "meaning"), rows)
    return section(f"service {_title(element)}", element.comment, methods, level=3)


def _streamed(type_name: str, *, streaming: bool) -> str:
    return ("stream of " if streaming else "") + code(_short(type_name))


def _message(file: File, element: Element) -> str:
    message = element.descriptor
    assert isinstance(message, DescriptorProto)
    rows = [
        (
            str(field.number),
            code(field.name),
            code(_type(message, field)),
            _behaviour(message, field),
            code(_rules(field)),
            file.field_comment(element, index),
        )
        for index, field in enumerate(message.field)
    ]
    fields = table(("no.", "field", "type", "behaviour", "rules", "meaning"), rows)
    return section(_title(element), element.comment, fields or "No fields.", level=3)


def _enum(file: File, element: Element) -> str:
    enum = element.descriptor
    assert isinstance(enum, EnumDescriptorProto)
    rows = [
        (str(value.number), code(value.name), file.value_comment(element, index))
        for index, value in enumerate(enum.value)
    ]
    return section(f"enum {_title(element)}", element.comment, table(("no.", "value", "meaning"), rows), level=3)


def _behaviour(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    names = [FieldBehavior.Name(value) for value in field.options.Extensions[field_behavior]]
    if field.HasField("oneof_index") and not field.proto3_optional:
        names.append(f"one of {message.oneof_decl[field.oneof_index].name}")
    return ", ".join(names)


def _rules(field: FieldDescriptorProto) -> str:
    if not field.options.HasExtension(validate_pb2.field):
        return ""
    return text_format.MessageToString(field.options.Extensions[validate_pb2.field], as_one_line=True).strip()


def _type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            return f"map<{_scalar(nested.field[0])}, {_scalar(nested.field[1])}>"
    many = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    return f"{many}{'optional ' if field.proto3_optional else ''}{_scalar(field)}"


def _scalar(field: FieldDescriptorProto) -> str:
    return _short(field.type_name) or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _short(type_name: str) -> str:
    """Return the name without the package for our own types."""
    return type_name.partition(".v1.")[2] if type_name.startswith(".maasloop.") else type_name.removeprefix(".")
