"""Rights on NATS: derived, narrow, and complete."""

import pytest

from maasloop.bus import rights, subjects
from maasloop.bus.accounts import CORE, commands, from_devices, integrator_account, to_integrators
from maasloop.bus.streams import DURABLES
from maasloop.core.domains import PERSONAL
from maasloop.core.errors import InvalidArgument
from maasloop.identity.nats.claims import Rights


def _may(allowed: Rights, subject: str) -> bool:
    """Tell whether a subject may be published, by a matching of its own."""
    return any(_within(subject, each) for each in allowed.publish) and not any(
        _within(subject, each) for each in allowed.publish_except
    )


def _within(subject: str, pattern: str) -> bool:
    tokens, parts = subject.split("."), pattern.split(".")
    for at, part in enumerate(parts):
        if part == ">":
            return len(tokens) > at
        if at >= len(tokens) or part not in {"*", tokens[at]}:
            return False
    return len(tokens) == len(parts)


@pytest.mark.parametrize("service", rights.SERVICES)
def test_a_fact_has_the_publishers_that_it_names(service: str) -> None:
    """Each service publishes exactly the facts that name it; of those about a service, its own."""
    allowed = rights.service_rights(service)
    for fact in subjects.FACTS:
        named = service in fact.publisher.split(", ")
        assert _may(allowed, fact.subject("noord", service)) == named, fact
        if fact.key == "service":
            assert not _may(allowed, fact.subject("noord", "other"))


@pytest.mark.parametrize("service", rights.SERVICES)
def test_nobody_pulls_the_durables_of_others(service: str) -> None:
    """A service pulls and acknowledges its own durables, also where it reads the stream at will."""
    allowed = rights.service_rights(service)
    for durable in DURABLES:
        own = durable.service == service and durable.name != "ingest-mqtt-space"
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}",
            f"$JS.ACK.{durable.stream}.{durable.name}.1.2.3.4.5",
        ):
            assert _may(allowed, subject) == own, subject


def test_nobody_may_everything() -> None:
    """No user of the services' account has a subject that begins with a wildcard, and no inbox but its own."""
    for user, allowed in rights.core_rights().items():
        for subject in (*allowed.publish, *allowed.subscribe):
            assert subject.split(".")[0] not in {">", "*"}, user
        inboxes = [subject for subject in allowed.subscribe if subject.startswith("_INBOX")]
        assert inboxes == [f"_INBOX_{user}.>"]


def test_nobody_among_the_services_commands_a_device() -> None:
    """Commands cross to devices from one account, in which one user may send them and nothing else."""
    down = "dev.v1.noord.lamp.down.commands"
    assert [user for user, allowed in rights.core_rights().items() if _may(allowed, down)] == []
    assert rights.downlink_rights().publish == tuple(each.subject for each in commands())
    assert _may(rights.downlink_rights(), down)


def test_what_is_a_persons_crosses_to_no_integrator() -> None:
    """No export covers the key of personal readings."""
    personal = subjects.OBSERVATION_RECORDED.subject("noord", PERSONAL)
    assert [each for each in to_integrators() if _within(personal, each.subject)] == []


def test_of_jetstream_single_questions_cross() -> None:
    """Devices give away no subject of JetStream that ends in a wildcard but acknowledgements of one durable."""
    wide = [each.subject for each in from_devices() if "*" in each.subject or ">" in each.subject]
    assert wide[0] == subjects.UPLINKS_QOS0
    assert all(each.startswith("$JS.ACK.$MQTT_msgs.ingest-") for each in wide[1:])


def test_an_account_is_named_by_an_id() -> None:
    """A name that is no id names no account."""
    assert integrator_account("weather") != CORE
    with pytest.raises(InvalidArgument):
        integrator_account("../CORE")
