"""Reads a buf image: which element of a file a comment belongs to.

Protobuf keeps comments in ``source_code_info``, addressed by a path of field numbers and indexes through the descriptor
(message 2 of a file is ``(4, 2)``, its field 0 is ``(4, 2, 2, 0)``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

type Place = tuple[int, ...]

_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED_MESSAGES, _NESTED_ENUMS = 2, 3, 4
_VALUES = 2
_METHODS = 2


class Element(NamedTuple):
    """A message, an enum or a service with its full name, its place in the file and its comment."""

    name: str
    place: Place
    comment: str
    descriptor: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto


class File:
    """One file of the image with its comments by place."""

    def __init__(self, file: FileDescriptorProto) -> None:
        """Index the comments of the file."""
        self.proto = file
        self._comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}

    def comment(self, *place: int) -> str:
        """Return the comment above the element, without its indentation."""
        lines = self._comments.get(place, "").splitlines()
        return "\n".join(line.removeprefix(" ") for line in lines).strip()

    def messages(self) -> Iterator[Element]:
        """Yield all messages in order of declaration, nested ones after their parent; map entries are left out."""
        for index, message in enumerate(self.proto.message_type):
            yield from self._message(f"{self.proto.package}.{message.name}", (_MESSAGES, index), message)

    def _message(self, name: str, place: Place, message: DescriptorProto) -> Iterator[Element]:
        if message.options.map_entry:
            return
        yield Element(name, place, self.comment(*place), message)
        for index, nested in enumerate(message.nested_type):
            yield from self._message(f"{name}.{nested.name}", (*place, _NESTED_MESSAGES, index), nested)

    def enums(self) -> Iterator[Element]:
        """Yield all enums, those of the file first."""
        for index, enum in enumerate(self.proto.enum_type):
            place: Place = (_ENUMS, index)
            yield Element(f"{self.proto.package}.{enum.name}", place, self.comment(*place), enum)
        for parent in self.messages():
            assert isinstance(parent.descriptor, DescriptorProto)
            for index, enum in enumerate(parent.descriptor.enum_type):
                place = (*parent.place, _NESTED_ENUMS, index)
                yield Element(f"{parent.name}.{enum.name}", place, self.comment(*place), enum)

    def services(self) -> Iterator[Element]:
        """Yield the services."""
        for index, service in enumerate(self.proto.service):
            place = (_SERVICES, index)
            yield Element(f"{self.proto.package}.{service.name}", place, self.comment(*place), service)

    def field_comment(self, message: Element, index: int) -> str:
        """Return the comment of a field of a message."""
        return self.comment(*message.place, _FIELDS, index)

    def value_comment(self, enum: Element, index: int) -> str:
        """Return the comment of a value of an enum."""
        return self.comment(*enum.place, _VALUES, index)

    def method_comment(self, service: Element, index: int) -> str:
        """Return the comment of a method of a service."""
        return self.comment(*service.place, _METHODS, index)


def read_image(image: Path) -> list[File]:
    """Return our own files of a buf image, ordered by name."""
    files = FileDescriptorSet.FromString(image.read_bytes()).file
    return [File(file) for file in sorted(files, key=lambda file: file.name) if file.name.startswith("maasloop/")]
