"""The doctor names what is missing and the command that mends it."""

from pathlib import Path

import pytest

from maasloop.stack import doctor
from maasloop.stack.setup import packages


def test_a_machine_that_is_set_up_has_nothing_to_mend(tmp_path: Path) -> None:
    """Where the tests run the servers and libraries are there, and no finding asks for anything."""
    findings = {finding.subject: finding for finding in doctor.examine(tmp_path)}

    assert findings["nats-server"].detail.startswith("nats-server: v2.")
    assert all(finding.good == (not finding.mend) for finding in findings.values())


def test_what_is_missing_comes_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PostgreSQL, with a stale environment and a full disk each finding names a command."""
    (tmp_path / "uv.lock").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(doctor, "BINARY_DIRECTORY", tmp_path)
    monkeypatch.setattr(packages, "container_runtime", lambda: None)
    monkeypatch.setattr(doctor, "DISK_FREE_MIN_BYTES", 1 << 62)

    findings = {finding.subject: finding for finding in doctor.examine(tmp_path)}

    assert findings["PostgreSQL"].mend == "make setup"
    assert findings["Python packages"].mend == "make setup"
    assert "make reset" in findings["disk"].mend
