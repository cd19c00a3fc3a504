"""Subjects are built and parsed in one place, and never from foreign text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.bus import subjects
from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import valid_id

IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(st.sampled_from(subjects.FACTS), IDS, IDS)
def test_a_fact_survives_its_subject(fact: subjects.Fact, district: str, key: str) -> None:
    """Parsing the subject of a fact gives back what it was built from, in six tokens."""
    subject = fact.subject(district, key)

    assert subjects.FactSubject(fact, district, key) == subjects.parse_fact(subject)
    assert len(subject.split(".")) == subjects.TOKENS


@given(IDS, IDS, st.sampled_from(list(subjects.UplinkKind)))
def test_an_uplink_survives_its_subject(district: str, device: str, kind: subjects.UplinkKind) -> None:
    """Parsing what a device sent on gives its district, its id and the coding."""
    assert subjects.UplinkSubject(district, device, kind) == subjects.parse_uplink(
        subjects.uplink(district, device, kind)
    )
    assert subjects.UplinkSubject(district, device, kind) == subjects.stored_uplink(
        subjects.MQTT_STORED_PREFIX + subjects.uplink(district, device, kind)
    )


@given(st.text(max_size=80))
def test_foreign_text_is_never_a_token(text: str) -> None:
    """A device id that is not one cannot reach a subject, whatever it holds."""
    if valid_id(text):
        return
    with pytest.raises(InvalidArgument):
        subjects.downlink("noord", text, subjects.DownlinkKind.COMMANDS)
    with pytest.raises(InvalidArgument):
        subjects.OBSERVATION_RECORDED.subject("noord", text)


@given(st.text(max_size=120))
def test_any_other_subject_is_refused(text: str) -> None:
    """A subject of another form is refused with a reason, not with an accident."""
    for parse in (subjects.parse_fact, subjects.parse_uplink):
        with pytest.raises(InvalidArgument):
            parse("x" + text)
