"""Where a road network comes from: a scenario of the installed benchmark wheel by name, or any ``.sumocfg``."""

import gzip
import importlib.util
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import sumolib

HOUR_S = 3_600
_SCENARIOS_IN_WHEEL = "nets"


@dataclass(frozen=True)
class Scenario:
    """A network, its demand and the seconds it is made for."""

    name: str
    net: Path
    routes: tuple[Path, ...]
    additional: tuple[Path, ...]
    begin_s: int
    end_s: int


def scenario_names() -> list[str]:
    """Return the scenarios that the installed wheel carries, each by the name of its directory."""
    nets = _wheel_directory()
    return sorted({path.parent.name for kind in ("sumocfg", "net.xml") for path in nets.glob(f"**/*.{kind}")})


def load_scenario(name_or_path: str) -> Scenario:
    """Find a scenario by its name in the wheel or by the path of its ``.sumocfg``.

    ``LookupError`` says what there is, which file of the scenario is missing, or which time cannot be read.
    """
    config = Path(name_or_path)
    if config.suffix != ".sumocfg":
        found = _in_wheel(name_or_path)
        if not found:
            return _without_configuration(name_or_path)
        config = found[0]
    if not config.is_file():
        message = f"no such file: {config}"
        raise LookupError(message)
    return _read(config)


def unpacked(path: Path) -> BufferedIOBase:
    """Open a file of a scenario; SUMO takes each of them packed (``.gz``) as well."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _in_wheel(name: str) -> list[Path]:
    """Return the configurations in the directory of that name; one that has the name as well comes first."""
    found = [path for path in _wheel_directory().glob("**/*.sumocfg") if path.parent.name == name]
    return sorted(found, key=lambda path: (path.stem != name, path.name))


def _without_configuration(name: str) -> Scenario:
    """Return the scenario of a directory with one network and the demand beside it, and an hour of it."""
    found = [path for path in _wheel_directory().glob("**/*.net.xml") if path.parent.name == name]
    if len(found) != 1:
        message = f"no scenario {name!r}; known: {', '.join(scenario_names())}, or a path to a .sumocfg"
        raise LookupError(message)
    (net,) = found
    return Scenario(name, net, tuple(sorted(net.parent.glob("*.rou.xml"))), (), 0, HOUR_S)


def _wheel_directory() -> Path:
    spec = importlib.util.find_spec("sumo_rl")
    if spec is None or spec.origin is None:
        message = "the package sumo-rl, which carries the road networks, is not installed"
        raise LookupError(message)
    return Path(spec.origin).parent / _SCENARIOS_IN_WHEEL


def _read(config: Path) -> Scenario:
    with unpacked(config) as file:
        root = ET.parse(file).getroot()  # noqa: S314 - a local file that the user names
    values = {element.tag: element.get("value", "") for element in root.iter() if element.get("value") is not None}
    net = values.get("net-file") or values.get("n")
    if not net:
        message = f"{config} names no net-file"
        raise LookupError(message)
    scenario = Scenario(
        name=config.stem,
        net=_beside(config, net),
        routes=_files(config, values.get("route-files", "")),
        additional=_files(config, values.get("additional-files", "")),
        begin_s=_second(config, "begin", values.get("begin", "0")),
        end_s=_second(config, "end", values.get("end", str(HOUR_S))),
    )
    for path in (scenario.net, *scenario.routes, *scenario.additional):
        if not path.is_file():
            message = f"{config} names {path}, which does not exist"
            raise LookupError(message)
    return scenario


def _second(config: Path, name: str, written: str) -> int:
    """Read one of SUMO's times: seconds, hh:mm:ss or dd:hh:mm:ss."""
    try:
        return int(sumolib.miscutils.parseTime(written))
    except (TypeError, ValueError):
        message = f"{config} has {name}={written!r}, which is neither seconds nor hh:mm:ss"
        raise LookupError(message) from None


def _files(config: Path, listed: str) -> tuple[Path, ...]:
    return tuple(_beside(config, name) for name in listed.replace(",", " ").split())


def _beside(config: Path, name: str) -> Path:
    return (config.parent / name).resolve()
