"""The settings in the chart are the settings of the code, in both directions."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.chart.parts.rendered import (
    BLOCKS,
    CHART,
    MINIMAL,
    ChartRefused,
    Helm,
    HelmCommand,
    HelmLibrary,
    Object,
    at,
    merged,
    of_kind,
    pod_templates,
    settings_file,
)
from tests.chart.parts.samples import other_settings, secrets

import generate_chart_schema
from generate_chart_schema import NEVER
from generators.reference_settings import SERVICES, settings_class
from maasloop.runtime.process import EXIT_MARGIN_S
from maasloop.runtime.settings import ServiceSettings, environment_prefix

DSN = "postgresql://maasloop@db/maasloop"
GRACE_MARGIN_S = 5


@pytest.fixture(autouse=True)
def _what_pods_get_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in SERVICES:
        monkeypatch.setenv(f"{environment_prefix(service)}POSTGRES_DSN", DSN)


def test_generated_files_have_no_drift() -> None:
    """The schema of values is that of today's settings: ``scripts/generate_chart_schema.py`` was run."""
    made = generate_chart_schema.chart_files()
    there = {path.relative_to(CHART).as_posix() for path in (CHART / "files" / "settings").glob("*.json")} | {
        "values.schema.json"
    }

    assert there == set(made)
    stale = [name for name, text in made.items() if (CHART / name).read_text() != text]
    assert stale == [], "run scripts/generate_chart_schema.py"


def test_the_generator_writes_where_it_is_told(tmp_path: Path) -> None:
    """The script writes the chart's files into another folder, too."""
    script = Path(generate_chart_schema.__file__)
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True)

    assert (tmp_path / "values.schema.json").read_text() == (CHART / "values.schema.json").read_text()


def test_the_schema_is_a_schema() -> None:
    """The schema of values is a valid JSON schema."""
    jsonschema.Draft202012Validator.check_schema(json.loads((CHART / "values.schema.json").read_text()))


def test_there_is_a_block_for_each_service() -> None:
    """The chart deploys the services that exist."""
    assert tuple(BLOCKS.values()) == SERVICES


def test_values_reach_the_code(helm: Helm, tmp_path: Path) -> None:
    """Values → ConfigMap → settings: every setting of a service can be told, and arrives as it was told."""
    told = {key: other_settings(service) for key, service in BLOCKS.items()}
    objects = helm.render({key: _block(settings) for key, settings in told.items()})

    for key, service in BLOCKS.items():
        settings = _loaded(objects, service, tmp_path)
        assert settings == settings_class(service)(**told[key])
        assert told[key].keys() == type(settings).model_fields.keys() - {*secrets(type(settings)), *NEVER}


def test_settings_come_back(helm: Helm, tmp_path: Path) -> None:
    """Settings → values → ConfigMap → settings: what a process runs with can be written down as values."""
    running = {key: settings_class(service)(**other_settings(service)) for key, service in BLOCKS.items()}
    objects = helm.render({key: _block(_dumped(settings)) for key, settings in running.items()})

    for key, settings in running.items():
        assert _loaded(objects, BLOCKS[key], tmp_path) == settings


@pytest.mark.parametrize("name", ["log_level", "drain_s", "migrate_at_start", "log_format", "otlp_endpoint"])
def test_what_all_are_told_reaches_each(library: HelmLibrary, name: str) -> None:
    """A setting for all services arrives at each, unless the service is told otherwise."""
    common, own = other_settings("consent")[name], settings_class("consent").model_fields[name].default
    told = merged(MINIMAL, at(f"settings.{name}", common), at(f"consent.settings.{name}", own or "http://own:4317"))
    objects = library.render(told)
    arrived = {service: settings_file(objects, service)[name] for service in SERVICES}

    assert arrived.pop("consent") == (own or "http://own:4317")
    assert set(arrived.values()) == {common}


def test_large_numbers_stay_numbers(helm: Helm) -> None:
    """A large number does not turn into text on its way, as it may in Helm's YAML, and digits stay text."""
    told = {"alerts_per_rule_minute_max": 100_000, "retry_pauses_s": [604_800, 0.25], "smtp_host": "1000000"}
    objects = helm.render(merged(MINIMAL, at("notification.settings", told)))

    assert told.items() <= settings_file(objects, "notification").items()


def test_the_defaults_of_the_chart_start_the_code(library: HelmLibrary, tmp_path: Path) -> None:
    """With the least values a service takes its settings, and knows where its neighbours are."""
    objects = library.render(MINIMAL)
    addresses = {
        f"{each['metadata']['name']}:{port['port']}"
        for each in of_kind(objects, "Service").values()
        for port in each["spec"]["ports"]
        if port["name"] == "grpc"
    }
    for service in SERVICES:
        settings = _loaded(objects, service, tmp_path)
        told = {name: value for name, value in _dumped(settings).items() if name.endswith("_address")}
        assert {value for name, value in told.items() if name not in settings.listeners} <= addresses
        assert not settings.migrate_at_start


def test_services_migrate_where_no_job_does(library: HelmLibrary) -> None:
    """Somebody brings the schema up to date: the jobs, or without them each service."""
    objects = library.render(merged(MINIMAL, at("migrate.enabled", False)))

    assert all(settings_file(objects, service)["migrate_at_start"] is True for service in SERVICES)
    assert "migrate" not in of_kind(objects, "Job")


@pytest.mark.parametrize("where", ["settings", *(f"{key}.settings" for key in BLOCKS)])
@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("postgres_dsn", DSN, "'postgres_dsn' not allowed"),
        ("log_levle", "debug", "'log_levle' not allowed"),
        ("drain_s", 0, "drain_s"),
        ("log_level", "loud", "log_level"),
        ("insecure_on_loopback", True, "'insecure_on_loopback' not allowed"),
    ],
)
def test_what_the_code_or_safety_refuses_is_refused(
    library: HelmLibrary, where: str, setting: str, value: object, complaint: str
) -> None:
    """A connection string in values, a typing mistake and a value out of bounds do not get as far as the cluster."""
    with pytest.raises(ChartRefused, match=complaint):
        library.render(merged(MINIMAL, at(f"{where}.{setting}", value)))


def test_the_command_refuses_a_secret_in_values(command: HelmCommand) -> None:
    """The same schema holds for the command."""
    with pytest.raises(ChartRefused, match="'postgres_dsn' not allowed"):
        command.render(merged(MINIMAL, at("ingest.settings.postgres_dsn", DSN)))


def test_the_connection_string_comes_from_the_secret(library: HelmLibrary) -> None:
    """The pod, its migration and the preflight take it from the Secret that was named, and the ConfigMap holds no secret."""
    objects = library.render(merged(MINIMAL, *(at(f"{key}.existingSecret", f"mine-{key}") for key in BLOCKS)))
    for key, service in BLOCKS.items():
        variable = f"{environment_prefix(service)}POSTGRES_DSN"
        taken = [
            entry["valueFrom"]["secretKeyRef"]
            for template in pod_templates(objects).values()
            for container in template["spec"]["containers"]
            for entry in container["env"]
            if entry["name"] == variable
        ]
        assert {each.pop("optional", False) for each in taken} == {False, True}, (
            "the preflight tells where it is missing"
        )
        assert taken == [{"name": f"mine-{key}", "key": "postgres-dsn"}] * 3
        assert not set(settings_file(objects, service)) & set(secrets(settings_class(service)))


@pytest.mark.parametrize("drain_s", [None, 0.3, 10, 20.5, 600])
def test_a_pod_may_end_in_order(library: HelmLibrary, drain_s: float | None) -> None:
    """Kubernetes kills a pod only after its process would have ended itself."""
    told = MINIMAL if drain_s is None else merged(MINIMAL, at("settings.drain_s", drain_s))
    drains_s = ServiceSettings.model_fields["drain_s"].default if drain_s is None else drain_s
    objects = library.render(told)
    for workload in (of_kind(objects, "Deployment") | of_kind(objects, "StatefulSet")).values():
        grace_s = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert isinstance(grace_s, int)
        assert grace_s >= 2 * drains_s + EXIT_MARGIN_S + GRACE_MARGIN_S


def _block(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the block of a service: with a pod for each partition, because one without the other is refused."""
    return {"settings": settings, "replicas": settings.get("partitions", 1)}


def _loaded(objects: list[Object], service: str, folder: Path) -> ServiceSettings:
    """Return the settings that the code reads from the ConfigMap."""
    file = folder / "settings.json"
    file.write_text(of_kind(objects, "ConfigMap")[service]["data"]["settings.json"])
    return settings_class(service).load(file)


def _dumped(settings: ServiceSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude={*secrets(type(settings)), *NEVER})
