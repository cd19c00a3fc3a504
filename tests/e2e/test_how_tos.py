"""The pages on how to connect things hold: what they show is used, as it stands there, on a running stack."""

import base64
import json
import re
import shlex
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from tests.e2e import pages

from maasloop.stack.local import LocalStack

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "how-to"
DISTRICT = {"districts": [{"name": "districts/noord", "displayName": "Noord"}]}
WINDOW = "device,device_type\nwindow-1,air-station\n"
PROVED_TIMEOUT_S = 30.0

type Maasloop = Callable[..., str]


@pytest.fixture(name="maasloop", scope="module")
def _maasloop(shared_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Maasloop:
    """Return what runs a command of the CLI and returns what it prints; a district is there."""
    root = shared_stack.directory.root
    variables = pages.environment(root)

    def run(*arguments: str) -> str:
        return pages.run_line(shlex.join(["maasloop", *arguments]), variables, folder=root)

    run("catalogue", "apply", _written(tmp_path_factory.mktemp("page"), "district.json", json.dumps(DISTRICT)))
    run("catalogue", "apply", str(ROOT / "docs" / "tutorials" / "files" / "catalogue.json"))
    return run


def _written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _page(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _devices(page: str) -> str:
    """Return the lines of the file of devices that a page shows."""
    found = re.search(r"^ +device,device_type.*\n(?: +\S+\n)+", page, re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found.group())


def _toml(page: str, key: str) -> str:
    """Return what a page sets a key of a TOML file to."""
    found = re.search(rf'^ +{key} = "(.*?)"', page, re.MULTILINE)
    assert found is not None, key
    return found.group(1)


def _newest(maasloop: Maasloop, device: str, count: int) -> dict[str, float]:
    """Wait until so many properties of a device were observed, and return their values."""
    until_s = time.monotonic() + PROVED_TIMEOUT_S
    while time.monotonic() < until_s:
        rows = json.loads(maasloop("observations", "latest", "noord", "--device", device, "--json"))
        found = {row["observedProperty"].rpartition("/")[2]: row["value"] for row in rows}
        if len(found) >= count:
            return found
        time.sleep(0.2)
    pytest.fail(f"nothing of {device} was stored")


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_lorawan_device_is_connected_as_the_page_says(
    shared_stack: LocalStack, maasloop: Maasloop, tmp_path: Path
) -> None:
    """The type with its codec and the file of devices are taken, and an uplink of ChirpStack becomes two readings."""
    page = _page("connect-lorawan.md")
    catalogue = re.search(r"^ +```json\n(.*?)^ +```", page, re.MULTILINE | re.DOTALL)
    assert catalogue is not None
    maasloop("catalogue", "apply", _written(tmp_path, "catalogue.json", catalogue.group(1)))
    maasloop(
        "devices", "import", _written(tmp_path, "devices.csv", _devices(page)), "--district", "noord", "--activate"
    )
    eui = "70b3d57ed0051234"
    event = {"deviceInfo": {"devEui": eui}, "fCnt": 1, "fPort": 1, "data": _coded("01 67 00 fa 02 68 50")}

    made = re.search(r"`maasloop (credentials create-network-server .*)`", page)
    assert made is not None
    password = json.loads(maasloop(*made.group(1).split(), "--json"))["password"]
    client_id, user_name = (_toml(page, key) for key in ("client_id", "username"))

    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    listener = shared_stack.mqtt
    client.username_pw_set(user_name, password)
    client.tls_set(listener.authority_file)
    client.connect(listener.host, listener.port)
    client.loop_start()
    sent = client.publish(f"application/1/device/{eui}/event/up", json.dumps(event), qos=1)
    sent.wait_for_publish(timeout=10)
    client.disconnect()
    client.loop_stop()

    assert _newest(maasloop, "soil-7", 2) == {"temperature": 25.0, "humidity": 40.0}


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_sensor_of_sensor_community_is_connected_as_the_page_says(
    shared_stack: LocalStack, maasloop: Maasloop, tmp_path: Path
) -> None:
    """The file of devices is taken, and the push that the page shows becomes a reading."""
    page = _page("connect-sensor-community.md")
    maasloop(
        "devices", "import", _written(tmp_path, "devices.csv", _devices(page)), "--district", "noord", "--activate"
    )
    made = re.search(r"`maasloop (access create-key .*)`", page)
    assert made is not None
    secret = json.loads(maasloop(*made.group(1).split(), "--json"))["secret"]

    said = _curl(page, shared_stack, secret)

    assert '"accepted_count":1' in said
    assert _newest(maasloop, "balcony-3", 1) == {"pm25": 7.25}
    assert "CREDENTIALS_INVALID" in _curl(page, shared_stack, "another")


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_reading_is_posted_as_the_page_says(shared_stack: LocalStack, maasloop: Maasloop, tmp_path: Path) -> None:
    """With the stack's own header curl records a reading; without it the door is closed."""
    page = _page("run-on-one-machine.md")
    maasloop("devices", "import", _written(tmp_path, "devices.csv", WINDOW), "--district", "noord", "--activate")

    said = _curl(page, shared_stack)

    assert '"accepted_count":1' in said
    assert _newest(maasloop, "window-1", 1) == {"pm25": 7.5}
    assert "CREDENTIALS_MISSING" in _curl(re.sub("-H @[^ ]+", "", page), shared_stack)


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_history_is_imported_as_the_page_says(shared_stack: LocalStack, maasloop: Maasloop, tmp_path: Path) -> None:
    """Both forms of time are read, and the readings are found where they were measured."""
    lines = re.search(r"^time,device.*?(?=^```)", _page("connect-history.md"), re.MULTILINE | re.DOTALL)
    assert lines is not None
    _written(tmp_path, "readings.csv", lines.group())
    devices = ROOT / "docs" / "tutorials" / "files" / "devices.csv"
    maasloop("devices", "import", str(devices), "--district", "delfshaven", "--activate")
    ((imported, queried),) = pages.blocks(PAGES / "connect-history.md")
    variables = pages.environment(shared_stack.directory.root)

    pages.run_line(imported, variables, folder=tmp_path)
    until_s = time.monotonic() + PROVED_TIMEOUT_S
    found: list[float] = []
    while len(found) < 2 and time.monotonic() < until_s:
        rows = json.loads(pages.run_line(f"{queried} --json", variables, folder=tmp_path))
        found = [row["result"] for row in rows]

    assert found == [12.5, 12.7]
    assert not (tmp_path / "readings.csv.refused").exists()


def _curl(page: str, stack: LocalStack, secret: str = "") -> str:
    """Run the command that a page shows on the stack, and return what the door answers."""
    shown = re.search(r"^ +(curl .*?)\n(?!      )", f"{page}\n", re.MULTILINE | re.DOTALL)
    assert shown is not None
    state = stack.directory.read()
    command = shown.group(1).replace("HOST:PORT", state.services["ingest"].http).replace("SECRET", secret)
    command = command.replace("CA_FILE", state.ca_file)
    return pages.run_line(command, pages.environment(stack.directory.root), folder=stack.directory.root)


def _coded(octets: str) -> str:
    return base64.b64encode(bytes.fromhex(octets)).decode()
