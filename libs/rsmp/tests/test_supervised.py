"""The description of a site is read with its quirks, and what is wrong in it is named by its key."""

from pathlib import Path

import pytest

from maasloop.rsmp.dialect import OnChange, Release
from maasloop.rsmp.errors import SheetInvalid
from maasloop.rsmp.messages import StatusName
from maasloop.rsmp.supervised import read_secret, read_site

WHOLE = {
    "site_ids": ["RN+SI0001"],
    "controller": "TC",
    "core_versions": ["3.1.5", "3.2"],
    "list_versions": ["1.0.15", "1.2.1"],
    "on_change": "text",
    "signal_groups": {"A1": "north", "B1": "east"},
    "detector_logics": ["DL1"],
    "security_codes": {"1": "env:CODE_1", 2: "file:/run/code"},
    "status_interval_s": 2.0,
    "traffic_interval_s": 0,
}


def test_a_description_becomes_what_sessions_need() -> None:
    """Versions, the quirk, components and subscriptions come from data."""
    site = read_site(WHOLE)
    known = site.known()
    wanted = known.wanted["TC"]

    assert known.core_releases == {Release(3, 1, 5), Release(3, 2, 0)}
    assert known.list_releases == {Release(1, 0, 15), Release(1, 2, 1)}
    assert known.on_change is OnChange.TEXT
    assert site.signal_groups == {"A1": "north", "B1": "east"}
    assert site.detector_logics == {"DL1": "DL1"}
    assert site.security_codes == {1: "env:CODE_1", 2: "file:/run/code"}
    assert wanted[StatusName("S0001", "signalgroupstatus")].interval_ms == 2000
    assert wanted[StatusName("S0014", "status")].on_change
    assert not [name for name in wanted if name.code == "S0205"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site_ids", []),
        ("site_ids", "RN+SI0001"),
        ("controller", ""),
        ("core_versions", [3.2]),
        ("core_versions", ["3.3.0"]),
        ("core_versions", []),
        ("list_versions", ["newest"]),
        ("on_change", "yes"),
        ("signal_groups", {"A1": 1}),
        ("detector_logics", [""]),
        ("security_codes", {3: "env:X"}),
        ("security_codes", {1: "1111"}),
        ("next_security_codes", {2: "3333"}),
        ("status_interval_s", 0.5),
        ("traffic_interval_s", True),
        ("colour", "red"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: object) -> None:
    """A wrong value is refused by a reason that begins with its key."""
    with pytest.raises(SheetInvalid) as refused:
        read_site({**WHOLE, key: value})

    assert refused.value.reason.startswith(f"{key}:")


def test_a_code_in_place_of_its_reference_is_not_repeated() -> None:
    """Who writes a security code into a description is told so without it."""
    with pytest.raises(SheetInvalid) as refused:
        read_site({**WHOLE, "security_codes": {1: "s3cret"}})

    assert "s3cret" not in refused.value.reason


def test_secrets_come_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reference is followed when it is needed; one that leads nowhere is named."""
    monkeypatch.setenv("CODE", "2222")
    (tmp_path / "code").write_text("1111\n", encoding="utf-8")

    assert read_secret("env:CODE") == "2222"
    assert read_secret(f"file:{tmp_path / 'code'}") == "1111"
    for reference in ("env:MISSING_CODE", f"file:{tmp_path / 'none'}"):
        with pytest.raises(SheetInvalid, match="security_codes"):
            read_secret(reference)
