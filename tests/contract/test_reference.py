"""The reference pages say what the sources say."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

import generate_reference
from generators.descriptors import File
from generators.pages import page
from generators.reference_asyncapi import asyncapi_text
from generators.reference_limits import Limit, limits
from generators.reference_metrics import Metric, metrics
from generators.reference_protos import proto_page
from generators.reference_settings import SERVICES, settings_class, settings_schemas, settings_table
from generators.reference_subjects import UPLINKS, subjects_page
from maasloop.bus.subjects import FACTS, DownlinkKind, UplinkKind
from maasloop.ingest.entrypoints.payloads import CONTENT_TYPES
from maasloop.runtime.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


class _Door(BaseModel):
    """A nested object of settings."""

    body_bytes_max: int = 1024
    """Largest body."""


class _Settings(ServiceSettings, service="lamp-post"):
    """Settings of a service that does not exist."""

    lamps: int
    """How many lamps."""
    door: _Door = _Door()
    """The door."""


@pytest.fixture(name="pages", scope="module")
def _pages() -> dict[str, str]:
    return generate_reference.pages()


def test_reference_has_no_drift(pages: dict[str, str]) -> None:
    """Nobody edited a page, and nobody forgot to run ``make docs``."""
    stale = [name for name, text in pages.items() if not _is(REFERENCE / name, text)]

    assert stale == [], "run make docs"
    assert generate_reference.generated_names(REFERENCE) == set(pages)


def test_a_page_written_by_hand_stays(tmp_path: Path) -> None:
    """Only what was generated counts as generated, and is ever removed."""
    (tmp_path / "protocol.md").write_text("# Protocol\n")
    (tmp_path / "old.md").write_text(page("Old", "nothing"))

    assert generate_reference.generated_names(tmp_path) == {"old.md"}


def test_every_fact_and_topic_is_described() -> None:
    """An integrator finds every kind of fact and every device topic, for people and for tools."""
    document = yaml.safe_load(asyncapi_text("1"))
    addresses = {channel["address"] for channel in document["channels"].values()}
    subjects = subjects_page()

    for fact in FACTS:
        address = f"maasloop.{fact.noun}.{fact.verb}.{fact.version}.{{district}}.{{key}}"
        assert address in addresses
        assert address in subjects
    for way, kinds in (("up", UplinkKind), ("down", DownlinkKind)):
        for kind in kinds:
            assert f"dev/v1/{{district}}/{{device}}/{way}/{kind}" in addresses
            assert f"dev.v1.{{district}}.{{device}}.{way}.{kind}" in subjects


@pytest.mark.parametrize("kind", [UplinkKind.OBSERVATIONS_PB, UplinkKind.RESPONSES_PB])
def test_devices_are_told_the_message_that_ingest_reads(kind: UplinkKind) -> None:
    """The body of a protobuf topic is described as the message that ingest decodes there."""
    message = CONTENT_TYPES[kind].rpartition(".")[2]

    assert f"`{message}`" in UPLINKS[kind]


def test_asyncapi_references_resolve() -> None:
    """No reference of the document points to nothing."""
    document = yaml.safe_load(asyncapi_text("1"))
    references = list(_references(document))
    assert references
    for reference in references:
        node = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_every_method_and_message_is_described(contract: list[File]) -> None:
    """A caller finds everything that the contracts declare."""
    protos = proto_page(contract)
    names = [element.name for file in contract for element in (*file.messages(), *file.enums(), *file.services())]

    assert [name for name in names if f"{name.partition('.v1.')[2]}\n" not in protos] == []


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_settings(service: str) -> None:
    """A service that runs can be told how."""
    assert settings_class(service).service == service


def test_schemas_are_schemas(pages: dict[str, str]) -> None:
    """The schema of each settings file is a valid JSON schema that refuses unknown keys."""
    for name, _ in settings_schemas():
        schema = yaml.safe_load(pages[name])
        jsonschema.Draft202012Validator.check_schema(schema)

        assert schema["additionalProperties"] is False


def test_settings_are_listed_by_variable() -> None:
    """A table of settings names variables, nested ones too, with default, type and meaning."""
    table = settings_table("lamp-post", _Settings)

    assert "| `MAASLOOP_LAMP_POST__LAMPS` | integer | required | How many lamps. |" in table
    assert "| `MAASLOOP_LAMP_POST__DOOR__BODY_BYTES_MAX` | integer |" in table
    assert "| `MAASLOOP_LAMP_POST__POSTGRES_DSN` | string, secret | required |" in table
    assert "| `MAASLOOP_LAMP_POST__DRAIN_S` | number, > 0, ≤ 600 | `10.0` |" in table


def test_limits_are_found_with_their_meaning() -> None:
    """A constant with a unit is a limit; its meaning stands below, beside or above it."""
    source = '''
A_TIMEOUT_S = 5.0
"""Below."""
B_BYTES_MAX = 8 * MIB  # Beside.
# Above,
# in two lines.
C_MS = -1
NAME_MAX = "no number"
NAME = 3
'''

    assert [
        Limit("m", "A_TIMEOUT_S", "5.0", "Below."),
        Limit("m", "B_BYTES_MAX", "8 * MIB", "Beside."),
        Limit("m", "C_MS", "-1", "Above, in two lines."),
    ] == list(limits("m", source))


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["$ref"])] if "$ref" in node else []
        return own + [each for value in node.values() for each in _references(value)]
    return [each for value in node for each in _references(value)] if isinstance(node, list) else []


def test_metrics_are_found_with_their_labels() -> None:
    """However a module calls the makers of metrics, each one is listed; what is no metric is not."""
    source = """
READ = counter("maasloop_m_reads_total", "Reads", ("outcome", "door"))
_open = metrics.gauge(
    "maasloop_m_open", "Reads"
    " under way", ["door"]
)
T = metrics.histogram("maasloop_m_read_seconds", "Time")
other = counter("elsewhere", "no metric of ours")
"""

    assert list(metrics(source)) == [
        Metric("maasloop_m_reads_total", "counter", ("outcome", "door"), "Reads"),
        Metric("maasloop_m_open", "gauge", ("door",), "Reads under way"),
        Metric("maasloop_m_read_seconds", "histogram", (), "Time"),
    ]
