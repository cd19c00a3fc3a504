"""Conventions of the contracts that buf does not know: resource names, field behaviour, pages and words (AIP).

Each rule takes the files of a X
"""

import re
from collections.abc import Callable, Iterable, Iterator

from google.api.field_behavior_pb2 import IDENTIFIER, OUTPUT_ONLY, FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from generators.descriptors import Element, File
from maasloop.api.common.v1 import permission_pb2
from maasloop.identity.roles import Roles

type Rule = Callable[[list[File]], Iterable[str]]

_Type = FieldDescriptorProto
WAIVED = {
    "GetCustodyBalance": "A report over all districts, not a resource with a name.",
    "GetTravelTimes": "A report over links and routes, not a resource with a name.",
    "ImportObservations": "The same lines again change nothing: a row is known by series and event time.",
    "SetPolicyMode": "The same mode twice is the same mode.",
    "maasloop.api.command.v1.ShadowReport.refusals_by_reason": "A map is read as `refusals by reason`.",
    "maasloop.api.observation.v1.CustodyBalance.in_stream_count": "A term of the balance, named as in the sum.",
    "maasloop.api.observation.v1.PackedRecordObservationsRequest": "A view of the wire; what it views has the behaviour.",
}
UNSIGNED = frozenset({_Type.TYPE_UINT32, _Type.TYPE_UINT64, _Type.TYPE_FIXED32, _Type.TYPE_FIXED64})
PREPOSITIONS = frozenset({"at", "between", "by", "during", "except", "for", "from", "in", "of", "to", "with"})
"""Without ``on``: lamps are on."""
ONCE_ONLY = ("Create", "Issue", "Import", "Set")
# Columns of a batch: a row is an entry of each, so their names are those of one reading, and numpy reads them as memory.
COLUMNS = "maasloop.api.observation.v1."
# Canonical codes, and names of standards, that comments may say in capitals.
CODES = frozenset({
    "ABORTED", "ALREADY_EXISTS", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAVAILABLE",
})  # fmt: skip


def _messages(files: list[File]) -> Iterator[tuple[Element, DescriptorProto]]:
    for file in files:
        for element in file.messages():
            assert isinstance(element.descriptor, DescriptorProto)
            yield element, element.descriptor


def _fields(files: list[File]) -> Iterator[tuple[str, FieldDescriptorProto]]:
    for element, message in _messages(files):
        yield from ((f"{element.name}.{field.name}", field) for field in message.field)


def _enums(files: list[File]) -> Iterator[tuple[Element, EnumDescriptorProto]]:
    for file in files:
        for element in file.enums():
            assert isinstance(element.descriptor, EnumDescriptorProto)
            yield element, element.descriptor


def _methods(files: list[File]) -> Iterator[MethodDescriptorProto]:
    for file in files:
        for element in file.services():
            assert isinstance(element.descriptor, ServiceDescriptorProto)
            yield from element.descriptor.method


def _behaviour(field: FieldDescriptorProto) -> list[FieldBehavior]:
    return list(field.options.Extensions[field_behavior])


def _alternative(field: FieldDescriptorProto) -> bool:
    """Tell whether the field is one of several, so that its oneof says what is needed."""
    return field.HasField("oneof_index") and not field.proto3_optional


def _resource(message: DescriptorProto) -> bool:
    return any(IDENTIFIER in _behaviour(field) for field in message.field)


def resources_begin_with_their_name(files: list[File]) -> Iterator[str]:
    """The first field of a resource is its name (AIP-122, 148)."""
    for element, message in _messages(files):
        first = message.field[0] if message.field else FieldDescriptorProto()
        if _resource(message) and (first.name, first.number, first.type) != ("name", 1, _Type.TYPE_STRING):
            yield f"{element.name}: `string name = 1` comes first"


def names_say_their_pattern(files: list[File]) -> Iterator[str]:
    """The comment of a resource's name shows its pattern: plural collections, ids in braces (AIP-122)."""
    pattern = re.compile(r"`[a-z][A-Za-z]*s/\{[a-z_]+\}(?:/[a-z][A-Za-z]*s/\{[a-z_]+\})*`")
    for file in files:
        for element in file.messages():
            message = element.descriptor
            assert isinstance(message, DescriptorProto)
            for index, field in enumerate(message.field):
                if IDENTIFIER in _behaviour(field) and not pattern.search(file.field_comment(element, index)):
                    yield f"{element.name}.{field.name}: the comment shows no `collections/{{id}}`"


def fields_say_their_behaviour(files: list[File]) -> Iterator[str]:
    """Every field of a request or resource says who writes it (AIP-203)."""
    for element, message in _messages(files):
        if element.name.endswith("Request") or _resource(message):
            for field in message.field:
                if not _behaviour(field) and not _alternative(field):
                    yield f"{element.name}.{field.name}: no field_behavior"


def lists_have_pages(files: list[File]) -> Iterator[str]:
    """A list is asked for and answered in pages (AIP-158)."""
    for element, message in _messages(files):
        name = element.name.rpartition(".")[2]
        types = {field.name: field.type for field in message.field}
        if re.fullmatch(r"List\w+Request", name):
            if types.get("page_size") != _Type.TYPE_INT32 or types.get("page_token") != _Type.TYPE_STRING:
                yield f"{element.name}: `int32 page_size` and `string page_token` are needed"
        elif re.fullmatch(r"List\w+Response", name):
            first = message.field[0].label if message.field else None
            if first != _Type.LABEL_REPEATED or types.get("next_page_token") != _Type.TYPE_STRING:
                yield f"{element.name}: the repeated resource comes first, and `string next_page_token` is needed"


def times_are_timestamps(files: list[File]) -> Iterator[str]:
    """``*_time`` is a Timestamp and a Timestamp is ``*_time`` (AIP-142)."""
    for name, field in _fields(files):
        timestamp = field.type_name == ".google.protobuf.Timestamp"
        if timestamp != name.endswith(("_time", "_times")):
            yield f"{name}: `_time` and google.protobuf.Timestamp belong together"


def enums_begin_unspecified(files: list[File]) -> Iterator[str]:
    """Zero means unspecified, and every value carries the name of its enum (AIP-126, buf)."""
    for element, enum in _enums(files):
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        zero = enum.value[0]
        if zero.number != 0 or zero.name != f"{prefix}UNSPECIFIED":
            yield f"{element.name}: begins with {prefix}UNSPECIFIED = 0"
        yield from (f"{element.name}: {v.name} lacks {prefix}" for v in enum.value if not v.name.startswith(prefix))


def names_are_plain(files: list[File]) -> Iterator[str]:
    """Fields are snake_case without prepositions and without ``is_`` (AIP-140)."""
    for name, field in _fields(files):
        words = field.name.split("_")
        if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", field.name) or words[0] == "is":
            yield f"{name}: snake_case without is_"
        if not PREPOSITIONS.isdisjoint(words):
            yield f"{name}: no prepositions"


def many_are_plural(files: list[File]) -> Iterator[str]:
    """Repeated fields are plural (AIP-140)."""
    for name, field in _fields(files):
        many = field.label == _Type.LABEL_REPEATED and not field.type_name.endswith("Entry")
        column = name.startswith(COLUMNS) and field.type in {*UNSIGNED, _Type.TYPE_SFIXED64, _Type.TYPE_DOUBLE}
        if many and not column and not field.name.endswith("s"):
            yield f"{name}: a repeated field is plural"


def integers_are_signed(files: list[File]) -> Iterator[str]:
    """Integers are signed (AIP-141)."""
    for name, field in _fields(files):
        if field.type in UNSIGNED and not (name.startswith(COLUMNS) and field.label == _Type.LABEL_REPEATED):
            yield f"{name}: integers are signed"


def states_are_read_only(files: list[File]) -> Iterator[str]:
    """The state of a resource changes by its methods only (AIP-216)."""
    for element, message in _messages(files):
        for field in message.field:
            if _resource(message) and field.type_name.endswith(".State") and OUTPUT_ONLY not in _behaviour(field):
                yield f"{element.name}.{field.name}: a State is OUTPUT_ONLY"


def methods_are_standard(files: list[File]) -> Iterator[str]:
    """Get, Create, Update and Delete take and return what AIP-131 to 135 say."""
    fields = {f".{element.name}": {field.name: field for field in m.field} for element, m in _messages(files)}
    for method in _methods(files):
        verb, noun = (re.findall(r"[A-Z][a-z0-9]*", method.name)[0], re.sub(r"^[A-Z][a-z0-9]*", "", method.name))
        asked = fields.get(method.input_type, {})
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", noun).lower()
        needed = {
            "Get": {"name"},
            "Delete": {"name"},
            "Create": {snake, f"{snake}_id"},
            "Update": {snake, "update_mask"},
        }
        missing = needed.get(verb, set()) - asked.keys()
        if missing:
            yield f"{method.name}: its request lacks {', '.join(sorted(missing))}"
        if verb in {"Get", "Create", "Update"} and not method.output_type.endswith(f".{noun}"):
            yield f"{method.name}: returns the resource itself"


def acts_are_repeatable(files: list[File]) -> Iterator[str]:
    """What would act twice if it were sent twice carries a request id (AIP-155)."""
    fields = {f".{element.name}": {field.name for field in m.field} for element, m in _messages(files)}
    for method in _methods(files):
        if method.name.startswith(ONCE_ONLY) and "request_id" not in fields.get(method.input_type, set()):
            yield f"{method.name}: its request lacks request_id"


def comments_name_real_reasons(files: list[File]) -> Iterator[str]:
    """What a comment writes in capitals is a code, a reason or an enum value of ours."""
    values = {value.name for _, enum in _enums(files) for value in enum.value}
    reasons = {value.removeprefix("ERROR_REASON_") for value in values}
    known = CODES | values | reasons | {v.name for v in FieldBehavior.DESCRIPTOR.values}
    for file in files:
        for at in file.proto.source_code_info.location:
            for word in re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", at.leading_comments):
                if word not in known and not any(value.endswith(f"_{word}") for value in values):
                    yield f"{file.proto.name}:{at.span[0] + 1}: {word} is no code, reason or value"


def methods_declare_their_permission(files: list[File]) -> Iterator[str]:
    """Every method says what a caller needs, at fields that its request has, and the table of roles knows it."""
    table = Roles.load()
    fields = {f".{element.name}": {field.name: field for field in m.field} for element, m in _messages(files)}
    for method in _methods(files):
        asked = method.options.Extensions[permission_pb2.permission]
        if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*\.[a-z]+", asked.name):
            yield f"{method.name}: declares no permission `noun.verb`"
        elif asked.name not in table.permissions and not asked.anonymous:
            yield f"{method.name}: roles.toml has no row for {asked.name}"
        if asked.shared and asked.objects:
            yield f"{method.name}: what all districts share has no object"
        for path in [*asked.objects, *filter(None, [asked.domain_path])]:
            message = fields.get(method.input_type, {})
            for part in path.split("."):
                field = message.get(part)
                if field is None:
                    yield f"{method.name}: its request has no {path}"
                    break
                message = fields.get(field.type_name, {})


RULES: tuple[Rule, ...] = (
    resources_begin_with_their_name,
    names_say_their_pattern,
    fields_say_their_behaviour,
    lists_have_pages,
    times_are_timestamps,
    enums_begin_unspecified,
    names_are_plain,
    many_are_plural,
    integers_are_signed,
    states_are_read_only,
    methods_are_standard,
    acts_are_repeatable,
    comments_name_real_reasons,
    methods_declare_their_permission,
)


def judge(rule: Rule, files: list[File]) -> list[str]:
    """Return the violations of a rule that are not waived."""
    return [text for text in rule(files) if not any(_concerns(text, place) for place in WAIVED)]


def stale_waivers(files: list[File]) -> list[str]:
    """Return the waivers that nothing needs any more."""
    found = [text for rule in RULES for text in rule(files)]
    return [place for place in WAIVED if not any(_concerns(text, place) for text in found)]


def _concerns(text: str, place: str) -> bool:
    where = text.partition(":")[0]
    return where == place or where.startswith(f"{place}.")
