"""The settings in the chart are the settings of the code, in both directions."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import generate_chart_schema
from generators.reference_settings import SERVICES, settings_class
from maasloop.runtime.process import EXIT_MARGIN_S
from maasloop.runtime.settings import ServiceSettings, environment_prefix
from rendered import BLOCKS, CHART, MINIMAL, ChartRefused, Helm, HelmLibrary, at, merged, of_kind, settings_file
from samples import other_settings, secrets

DSN = "postgresql://maasloop@db/maasloop"
GRACE_MARGIN_S = 5


@pytest.fixture(name="key", params=BLOCKS)
def _key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A block of values; what its pod gets from the Secret is in the environment."""
    key: str = request.param
    monkeypatch.setenv(f"{environment_prefix(BLOCKS[key])}POSTGRES_DSN", DSN)
    return key


def test_generated_files_have_no_drift() -> None:
    """The schema of values is that of today's settings: ``scripts/generate_chart_schema.py`` was run."""
    made = generate_chart_schema.chart_files()
    there = {path.relative_to(CHART).as_posix() for path in (CHART / "files").rglob("*.json")} | {"values.schema.json"}

    assert there == set(made)
    assert [name for name, text in made.items() if (CHART / name).read_text() != text] == []


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


def test_values_reach_the_code(helm: Helm, key: str, tmp_path: Path) -> None:
    """Values → ConfigMap → settings: every setting of a service can be told, and arrives as it was told."""
    told = other_settings(BLOCKS[key]) | {"allow_insecure_bind": True}
    settings = _loaded(helm.render(merged(MINIMAL, at(f"{key}.settings", told))), key, tmp_path)

    assert _dumped(settings) == _dumped(settings_class(BLOCKS[key])(**told))
    assert set(told) == set(settings_class(BLOCKS[key]).model_fields) - set(secrets(type(settings)))


def test_settings_come_back(helm: Helm, key: str, tmp_path: Path) -> None:
    """Settings → values → ConfigMap → settings: what a process runs with can be written down as values."""
    settings = settings_class(BLOCKS[key])(**other_settings(BLOCKS[key]))
    values = merged(MINIMAL, at(f"{key}.settings", _dumped(settings)))

    assert _loaded(helm.render(values), key, tmp_path) == settings


@pytest.mark.parametrize("name", ["log_level", "otlp_endpoint", "drain_s", "migrate_at_start", "log_format"])
def test_what_all_are_told_reaches_each(library: HelmLibrary, key: str, name: str) -> None:
    """A setting for all services arrives at each, unless the service is told otherwise."""
    common, own = other_settings("consent")[name], settings_class("consent").model_fields[name].default
    for_all = merged(MINIMAL, at(f"settings.{name}", common))

    assert settings_file(library.render(for_all), BLOCKS[key])[name] == common
    if own is not None:
        told = merged(for_all, at(f"{key}.settings.{name}", own))
        assert settings_file(library.render(told), BLOCKS[key])[name] == own


def test_large_numbers_stay_numbers(helm: Helm) -> None:
    """A large number does not turn into text on its way, as it may in Helm's YAML, and digits stay text."""
    told = {"alerts_per_rule_minute_max": 100_000, "retry_pauses_s": [604_800, 0.25], "smtp_host": "1000000"}
    objects = helm.render(merged(MINIMAL, at("notification.settings", told)))

    assert told.items() <= settings_file(objects, "notification").items()


def test_the_defaults_of_the_chart_start_the_code(library: HelmLibrary, key: str, tmp_path: Path) -> None:
    """With the least values a service takes its settings, and knows where its neighbours are."""
    objects = library.render(MINIMAL)
    settings = _loaded(objects, key, tmp_path)
    addresses = {
        f"{each['metadata']['name']}:{port['port']}"
        for each in of_kind(objects, "Service").values()
        for port in each["spec"]["ports"]
        if port["name"] == "grpc"
    }
    neighbours = {
        value
        for name, value in _dumped(settings).items()
        if name.endswith("_address") and name not in settings.listeners
    }

    assert neighbours <= addresses
    assert not settings.migrate_at_start


def test_services_migrate_where_no_job_does(library: HelmLibrary, key: str) -> None:
    """Somebody brings the schema up to date: the jobs, or without them each service."""
    objects = library.render(merged(MINIMAL, at("migrate.enabled", False)))

    assert settings_file(objects, BLOCKS[key])["migrate_at_start"] is True
    assert "migrate" not in of_kind(objects, "Job")


def test_a_secret_is_no_value(helm: Helm, key: str) -> None:
    """A connection string in values is refused, and so is one for all services."""
    for where in (f"{key}.settings", "settings"):
        with pytest.raises(ChartRefused, match="'postgres_dsn' not allowed"):
            helm.render(merged(MINIMAL, at(f"{where}.postgres_dsn", DSN)))


def test_the_connection_string_comes_from_the_secret(library: HelmLibrary, key: str) -> None:
    """The pod and its migration take it from the Secret that was named, and the ConfigMap holds no secret."""
    objects = library.render(merged(MINIMAL, at(f"{key}.existingSecret", "mine")))
    variable = f"{environment_prefix(BLOCKS[key])}POSTGRES_DSN"
    taken = [
        entry["valueFrom"]["secretKeyRef"]
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}
        for container in each["spec"]["template"]["spec"]["containers"]
        for entry in container["env"]
        if entry["name"] == variable
    ]

    assert taken == [{"name": "mine", "key": "postgres-dsn"}] * 2
    assert not set(settings_file(objects, BLOCKS[key])) & set(secrets(settings_class(BLOCKS[key])))


def test_an_unknown_setting_is_refused(helm: Helm, key: str) -> None:
    """A typing mistake never becomes a default."""
    with pytest.raises(ChartRefused, match="'log_levle' not allowed"):
        helm.render(merged(MINIMAL, at(f"{key}.settings.log_levle", "debug")))


def test_a_value_that_the_code_refuses_is_refused_before(helm: Helm, key: str) -> None:
    """Bounds of the code hold in values."""
    with pytest.raises(ChartRefused, match="drain_s"):
        helm.render(merged(MINIMAL, at(f"{key}.settings.drain_s", 0)))


@pytest.mark.parametrize("drain_s", [None, 0.3, 10, 20.5, 600])
def test_a_pod_may_end_in_order(library: HelmLibrary, key: str, drain_s: float | None) -> None:
    """Kubernetes kills a pod only after its process would have ended itself."""
    told = MINIMAL if drain_s is None else merged(MINIMAL, at(f"{key}.settings.drain_s", drain_s))
    objects = library.render(told)
    workload = (of_kind(objects, "Deployment") | of_kind(objects, "StatefulSet"))[BLOCKS[key]]
    drains_s = ServiceSettings.model_fields["drain_s"].default if drain_s is None else drain_s
    grace_s = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert isinstance(grace_s, int)
    assert grace_s >= 2 * drains_s + EXIT_MARGIN_S + GRACE_MARGIN_S


def _loaded(objects: list[dict[str, Any]], key: str, folder: Path) -> ServiceSettings:
    """Return the settings that the code reads from the ConfigMap."""
    file = folder / "settings.json"
    file.write_text(of_kind(objects, "ConfigMap")[BLOCKS[key]]["data"]["settings.json"])
    return settings_class(BLOCKS[key]).load(file)


def _dumped(settings: ServiceSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude=set(secrets(type(settings))))
