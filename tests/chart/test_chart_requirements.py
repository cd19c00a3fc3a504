"""Values that cannot be right are refused, each with a sentence that says what to change."""

import re
from typing import Any

import pytest
from tests.chart.parts.rendered import BLOCKS, CHART, MINIMAL, ChartRefused, HelmCommand, HelmLibrary, at, merged

REQUIREMENTS = CHART / "templates" / "_requirements.tpl"
REFUSED: dict[str, dict[str, Any]] = {
    "ingest.tlsSecret is empty, so nobody could be identified": at("ingest.tlsSecret", ""),
    "ingest.natsSecret is empty, so NATS would not let it in": at("ingest.natsSecret", ""),
    "ingest.keysSecret is empty, so nothing could be signed": at("ingest.keysSecret", ""),
    "streams.natsSecret is empty, so NATS would not let the job in": at("streams.natsSecret", ""),
    "certManager.issuerRef.name is empty, so nobody would sign": at("certManager.enabled", True),
    "certManager.enabled=true: the cluster has no cert-manager": at(
        "certManager", {"enabled": True, "issuerRef": {"name": "city", "kind": "Issuer"}}
    ),
    "ingest: settings.access.provider_issuer=http://login would bring keys over an open line": at(
        "settings.access.provider_issuer", "http://login"
    ),
    "access.grantsConfigMap is for people of an identity provider": at("access.grantsConfigMap", "grants"),
    "observability.rules.enabled=true: the cluster has no Prometheus operator": at("observability.rules.enabled", True),
    "nats.embedded.replicas=3: the chart's own server is one": at("nats.embedded", {"enabled": True, "replicas": 3}),
    "postgres.embedded.replicas=2: the chart's own server is one": at(
        "postgres.embedded", {"enabled": True, "replicas": 2}
    ),
    "nats.embedded.secret is empty, so it would let nobody in": at("nats.embedded", {"enabled": True, "secret": ""}),
    "streams.replicas=3: the chart's own NATS is one server": merged(
        at("nats.embedded.enabled", True), at("streams.replicas", 3)
    ),
    "ingest.settings.http_address=127.0.0.1:8081: nobody outside the pod": at(
        "ingest.settings.http_address", "127.0.0.1:8081"
    ),
    "consent.settings.grpc_address=0.0.0.0:0: nobody outside the pod": at("consent.settings.grpc_address", "0.0.0.0:0"),
    "timeseries.settings: two listeners have the same port": at("timeseries.settings.grpc_address", "0.0.0.0:8080"),
    "ingest needs deviceRegistry, which is not enabled": at("deviceRegistry.enabled", False),
    "ingest needs consent, which is not enabled": at("consent.enabled", False),
    "timeseries.replicas=65: each pod writes a partition": at("timeseries.replicas", 65),
    "timeseries.settings.partitions=2: each of its 3 pods writes a partition": merged(
        at("timeseries.replicas", 3), at("timeseries.settings.partitions", 2)
    ),
    "timeseries.extraEnv.MAASLOOP_TIMESERIES__PARTITION: the chart sets it": at(
        "timeseries.extraEnv.MAASLOOP_TIMESERIES__PARTITION", "1"
    ),
    "actuation.replicas=3: it has one partition": at("actuation.replicas", 3),
    "actuation.autoscaling: its pods are partitions": at("actuation.autoscaling.enabled", True),
    "ingest.autoscaling: both enabled and lag.enabled": merged(
        at("ingest.autoscaling.enabled", True), at("ingest.autoscaling.lag.enabled", True)
    ),
    "ingest.autoscaling.lag: KEDA would not know what to read": at("ingest.autoscaling.lag.enabled", True),
    "ingest.autoscaling.lag.enabled=true: the cluster has no KEDA": merged(
        at("ingest.autoscaling.lag", {"enabled": True, "stream": "S", "consumer": "c"}),
        {"nats": {"monitoringEndpoint": "nats:8222", "account": "A"}},
    ),
    "actuation.settings.rsmp_address=127.0.0.1:12111: nobody outside the pod": at(
        "actuation.settings.rsmp_address", "127.0.0.1:12111"
    ),
    "ingest.autoscaling: min is larger than max": at("ingest.autoscaling", {"enabled": True, "min": 3, "max": 2}),
    "notification.pdb: set either minAvailable or maxUnavailable": at("notification.pdb.minAvailable", 1),
    "consent.pdb: set either minAvailable or maxUnavailable": at("consent.pdb.maxUnavailable", ""),
    "ingest.serviceMonitor.enabled=true: the cluster has no Prometheus operator": at(
        "ingest.serviceMonitor.enabled", True
    ),
    "consent.extraEnv.MAASLOOP_CONSENT__POSTGRES_DSN: the chart sets it": at(
        "consent.extraEnv.MAASLOOP_CONSENT__POSTGRES_DSN", "postgresql://db"
    ),
    "consent.extraEnv.MAASLOOP_CONSENT__SETTINGS_FILE: the chart sets it": at(
        "consent.extraEnv.MAASLOOP_CONSENT__SETTINGS_FILE", "/tmp/mine"
    ),
    "deviceRegistry.image.tag=latest names another image every day": at("deviceRegistry.image.tag", "latest"),
    "streams.image.tag=latest names another image every day": at("streams.image.tag", "latest"),
}
"""By the beginning of the sentence, what is refused with it."""


@pytest.mark.parametrize(("sentence", "values"), REFUSED.items(), ids=REFUSED)
def test_values_are_refused_with_a_sentence(library: HelmLibrary, sentence: str, values: dict[str, Any]) -> None:
    """The sentence names the value and begins as it should."""
    with pytest.raises(ChartRefused, match=re.escape(sentence)):
        library.render(merged(MINIMAL, values))


def test_the_command_says_the_same(command: HelmCommand) -> None:
    """People read the sentence from the command."""
    with pytest.raises(ChartRefused, match=re.escape("consent.tlsSecret is empty")):
        command.render(at("consent.tlsSecret", ""))


def test_every_sentence_is_reached(library: HelmLibrary) -> None:
    """No requirement is untested: each sentence of the templates is said in one of the cases above."""
    said = [_refusal(library, values) for values in REFUSED.values()]
    sentences = re.findall(r'fail \(printf "([^"]+)"', REQUIREMENTS.read_text())

    assert len(sentences) == REQUIREMENTS.read_text().count("fail (")
    for sentence in sentences:
        pattern = re.sub("%[sd]", ".+", re.escape(sentence))
        assert any(re.search(pattern, each) for each in said), sentence


def test_requirements_are_in_one_place() -> None:
    """Nothing else in the chart fails."""
    others = [path for path in (CHART / "templates").rglob("*") if path.is_file() and path != REQUIREMENTS]

    assert [path.name for path in others if re.search(r"\bfail\b|\brequired\b", path.read_text())] == []


@pytest.mark.parametrize("key", BLOCKS)
def test_requirements_ask_nothing_of_what_is_off(library: HelmLibrary, key: str) -> None:
    """A service that is switched off may be told anything, and leaves nothing behind."""
    elsewhere = [
        at(f"{other}.settings.{neighbour}_address", "elsewhere:50051")
        for other, neighbour in (
            ("ingest", "device_registry"),
            ("ingest", "consent"),
            ("timeseries", "device_registry"),
            ("timeseries", "consent"),
            ("actuation", "device_registry"),
            ("actuation", "timeseries"),
            ("notification", "device_registry"),
        )
    ]
    off = at(key, {"enabled": False, "image": {"tag": "latest"}})
    objects = library.render(merged(MINIMAL, *elsewhere, off))

    assert [each for each in objects if f"-{BLOCKS[key]}" in each["metadata"]["name"]] == []


def _refusal(library: HelmLibrary, values: dict[str, Any]) -> str:
    with pytest.raises(ChartRefused) as refused:
        library.render(merged(MINIMAL, values))
    return str(refused.value)
