"""The contracts keep their conventions, and each convention is shown to be able to fail."""

from typing import NamedTuple

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import conventions
from conventions import RULES, Rule, judge, stale_waivers
from generators.descriptors import File


def _name(rule: Rule) -> str:
    return getattr(rule, "__name__", "rule")


class Sabotage(NamedTuple):
    """A file descriptor, in text form, that breaks one rule."""

    rule: Rule
    text: str


_REPEATED = "label: LABEL_REPEATED"
SABOTAGES = (
    Sabotage(
        conventions.resources_begin_with_their_name,
        """message_type { name: "Lamp" field { name: "name" number: 2 type: TYPE_STRING
        options { [google.api.field_behavior]: IDENTIFIER } } }""",
    ),
    Sabotage(
        conventions.names_say_their_pattern,
        """message_type { name: "Lamp" field { name: "name" number: 1 type: TYPE_STRING
        options { [google.api.field_behavior]: IDENTIFIER } } }
        source_code_info { location { path: [4, 0, 2, 0] span: [0, 0, 0] leading_comments: "lamp/{lamp}" } }""",
    ),
    Sabotage(
        conventions.fields_say_their_behaviour,
        'message_type { name: "GetLampRequest" field { name: "name" number: 1 type: TYPE_STRING } }',
    ),
    Sabotage(
        conventions.lists_have_pages,
        'message_type { name: "ListLampsRequest" field { name: "page_size" number: 1 type: TYPE_INT32 } }',
    ),
    Sabotage(
        conventions.lists_have_pages,
        'message_type { name: "ListLampsResponse" field { name: "next_page_token" number: 2 type: TYPE_STRING } }',
    ),
    Sabotage(
        conventions.times_are_timestamps,
        'message_type { name: "Lamp" field { name: "create_time" number: 1 type: TYPE_INT64 } }',
    ),
    Sabotage(
        conventions.times_are_timestamps,
        """message_type { name: "Lamp" field { name: "created" number: 1 type: TYPE_MESSAGE
        type_name: ".google.protobuf.Timestamp" } }""",
    ),
    Sabotage(
        conventions.enums_begin_unspecified,
        'enum_type { name: "LampKind" value { name: "LAMP_KIND_LED" number: 0 } }',
    ),
    Sabotage(
        conventions.enums_begin_unspecified,
        """message_type { name: "Lamp" enum_type { name: "State" value { name: "STATE_UNSPECIFIED" number: 0 }
        value { name: "ON" number: 1 } } }""",
    ),
    Sabotage(
        conventions.names_are_plain,
        'message_type { name: "Lamp" field { name: "is_on" number: 1 type: TYPE_BOOL } }',
    ),
    Sabotage(
        conventions.names_are_plain,
        'message_type { name: "Lamp" field { name: "hours_of_life" number: 1 type: TYPE_INT32 } }',
    ),
    Sabotage(
        conventions.many_are_plural,
        f'message_type {{ name: "Lamp" field {{ name: "group" number: 1 {_REPEATED} type: TYPE_STRING }} }}',
    ),
    Sabotage(
        conventions.integers_are_signed,
        'message_type { name: "Lamp" field { name: "hours" number: 1 type: TYPE_UINT32 } }',
    ),
    Sabotage(
        conventions.states_are_read_only,
        """message_type { name: "Lamp"
        field { name: "name" number: 1 type: TYPE_STRING options { [google.api.field_behavior]: IDENTIFIER } }
        field { name: "state" number: 2 type: TYPE_ENUM type_name: ".maasloop.api.lamp.v1.Lamp.State" } }""",
    ),
    Sabotage(
        conventions.methods_are_standard,
        """message_type { name: "GetLampRequest" } service { name: "LampService" method { name: "GetLamp"
        input_type: ".maasloop.api.lamp.v1.GetLampRequest" output_type: ".maasloop.api.lamp.v1.Lamp" } }""",
    ),
    Sabotage(
        conventions.acts_are_repeatable,
        """message_type { name: "CreateLampRequest" } service { name: "LampService" method { name: "CreateLamp"
        input_type: ".maasloop.api.lamp.v1.CreateLampRequest" output_type: ".maasloop.api.lamp.v1.Lamp" } }""",
    ),
    Sabotage(
        conventions.comments_name_real_reasons,
        'source_code_info { location { span: [0, 0, 0] leading_comments: "NOT_FOUND (LAMP_LOST)." } }',
    ),
    Sabotage(
        conventions.methods_declare_their_permission,
        """message_type { name: "GetLampRequest" } service { name: "LampService" method { name: "GetLamp"
        input_type: ".maasloop.api.lamp.v1.GetLampRequest" output_type: ".maasloop.api.lamp.v1.Lamp" } }""",
    ),
    Sabotage(
        conventions.methods_declare_their_permission,
        """message_type { name: "GetLampRequest" } service { name: "LampService" method { name: "GetLamp"
        input_type: ".maasloop.api.lamp.v1.GetLampRequest" output_type: ".maasloop.api.lamp.v1.Lamp"
        options { [maasloop.api.common.v1.permission] { name: "lamp.read" } } } }""",
    ),
    Sabotage(
        conventions.methods_declare_their_permission,
        """message_type { name: "GetLampRequest" } service { name: "LampService" method { name: "GetLamp"
        input_type: ".maasloop.api.lamp.v1.GetLampRequest" output_type: ".maasloop.api.lamp.v1.Lamp"
        options { [maasloop.api.common.v1.permission] { name: "device.read" objects: "name" } } } }""",
    ),
)


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_contract_keeps_convention(rule: Rule, contract: list[File]) -> None:
    """No message, field or method breaks the convention."""
    found = judge(rule, contract)

    assert not found, "\n".join(found)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda case: _name(case.rule))
def test_convention_sees_sabotage(sabotage: Sabotage) -> None:
    """A contract that breaks the convention is reported."""
    file = FileDescriptorProto(name="maasloop/api/lamp/v1/lamp.proto", package="maasloop.api.lamp.v1")
    text_format.Merge(sabotage.text, file)

    assert list(sabotage.rule([File(file)]))


def test_every_convention_has_sabotage() -> None:
    """No convention goes unproven."""
    assert set(RULES) == {sabotage.rule for sabotage in SABOTAGES}


def test_no_waiver_is_stale(contract: list[File]) -> None:
    """A waiver goes when what it excused has gone."""
    assert stale_waivers(contract) == []
