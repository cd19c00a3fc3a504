"""What a supervisor is told about a site: plain data, as a section of a device's configuration or of a file.

What differs between sites of one version (who they are, which versions they may speak, how they want to be asked) is
data here and nowhere code.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .dialect import DIALECTS, OnChange, Release
from .errors import MessageInvalid, SheetInvalid
from .exchange_list import TLC_RELEASES, tlc
from .messages import StatusName, Subscription
from .supervisor import KnownSite

ITEMS_MAX = 512
"""Most items of one list of a description."""
TEXT_CHARACTERS_MAX = 128
SECRET_BYTES_MAX = 256
INTERVAL_S_MAX = 3_600
STATUS_INTERVAL_S = 1
TRAFFIC_INTERVAL_S = 60

ON_CHANGE = ("S0003", "S0007", "S0011", "S0014", "S0015", "S0020", "S0023", "S0029", "S0033", "S0034")
"""Statuses of the controller that are told when they change: what confirms commands, and what a desk wants to see."""
EVERY_INTERVAL = ("S0001", "S0002")
"""Statuses of the controller that are told at ``status_interval_s``."""
COUNTS = ("S0205", "S0206", "S0207", "S0208")
"""Statuses of the controller that are told at ``traffic_interval_s``."""

_KEYS = frozenset({
    "site_ids",
    "controller",
    "core_versions",
    "list_versions",
    "on_change",
    "signal_groups",
    "detector_logics",
    "security_codes",
    "next_security_codes",
    "status_interval_s",
    "traffic_interval_s",
})  # fmt: skip
_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)")


@dataclass(frozen=True, slots=True)
class SupervisedSite:
    """One site."""

    site_ids: tuple[str, ...]
    controller: str
    """Component id of the controller itself."""
    core_releases: frozenset[Release] = frozenset(DIALECTS)
    list_releases: frozenset[Release] = frozenset(TLC_RELEASES)
    on_change: OnChange | None = None
    """How the site wants ``sOc``, against the standard of its core version."""
    signal_groups: Mapping[str, str] = field(default_factory=dict)
    """Component id to the platform's id, in the order of the characters of S0001."""
    detector_logics: Mapping[str, str] = field(default_factory=dict)
    """Component id to the id of a device, in the order of the characters of S0002 and of the lists of S0205 to S0208."""
    security_codes: Mapping[int, str] = field(default_factory=dict)
    """Level to the reference of a secret: ``env:NAME`` or ``file:PATH``."""
    next_security_codes: Mapping[int, str] = field(default_factory=dict)
    """What takes their place by M0103, in the same form."""
    status_interval_s: int = STATUS_INTERVAL_S
    """Of signal groups and detector logics; 0: on change."""
    traffic_interval_s: int = TRAFFIC_INTERVAL_S
    """Of traffic counts; 0: not wanted."""

    def known(self) -> KnownSite:
        """Return what sessions need, with all that is wanted of the site."""
        wanted = {StatusName(each.code, each.name): each for each in self._wanted()}
        return KnownSite(
            self.controller,
            self.core_releases,
            self.list_releases,
            self.on_change,
            {self.controller: wanted},
            tuple(self.detector_logics),
        )

    def _wanted(self) -> Iterable[Subscription]:
        intervals_s = dict.fromkeys(EVERY_INTERVAL, self.status_interval_s) | dict.fromkeys(ON_CHANGE, 0)
        if self.traffic_interval_s:
            intervals_s |= dict.fromkeys(COUNTS, self.traffic_interval_s)
        for code, interval_s in intervals_s.items():
            # A name that only some lists have is left out on the links that lack it.
            names = {name for release in TLC_RELEASES for name in _names(code, release)}
            for name in sorted(names):
                yield Subscription(code, name, interval_s * 1000, on_change=interval_s == 0)


def _names(code: str, release: Release) -> Iterable[str]:
    entry = tlc(release).statuses.get(code)
    return entry.arguments if entry else ()


def read_secret(reference: str) -> str:
    """Return the text behind ``env:NAME`` or ``file:PATH``, without the line end.

    Raises:
        SheetInvalid: there is none; the reason has the reference, never the text.
    """
    kind, _, place = reference.partition(":")
    if kind == "env" and (found := os.environ.get(place)):
        return found
    if kind == "file":
        try:
            with Path(place).open("rb") as file:
                return file.read(SECRET_BYTES_MAX).decode().strip()
        except (OSError, ValueError) as error:
            raise SheetInvalid(f"security_codes: {reference[:80]} cannot be read: {type(error).__name__}") from None
    raise SheetInvalid(f"security_codes: {reference[:80]} is not set")


def read_site(data: Mapping[str, object]) -> SupervisedSite:
    """Read a description; ``site_ids`` and ``controller`` are needed, all else has a default.

    Raises:
        SheetInvalid: a key is missing, unknown or has a wrong value.
    """
    if unknown := [str(key) for key in data if key not in _KEYS]:
        raise SheetInvalid(f"{unknown[0][:40]}: this key is not known, only {', '.join(sorted(_KEYS))}")
    site_ids = _texts(data, "site_ids")
    controller = data.get("controller")
    if not site_ids:
        raise SheetInvalid("site_ids: at least one id is needed")
    if not isinstance(controller, str) or not controller:
        raise SheetInvalid("controller: the component id of the controller is needed")
    return SupervisedSite(
        site_ids=site_ids,
        controller=controller,
        core_releases=_releases(data, "core_versions", DIALECTS),
        list_releases=_releases(data, "list_versions", TLC_RELEASES),
        on_change=_on_change(data),
        signal_groups=_components(data, "signal_groups"),
        detector_logics=_components(data, "detector_logics"),
        security_codes=_security_codes(data, "security_codes"),
        next_security_codes=_security_codes(data, "next_security_codes"),
        status_interval_s=_seconds(data, "status_interval_s", STATUS_INTERVAL_S),
        traffic_interval_s=_seconds(data, "traffic_interval_s", TRAFFIC_INTERVAL_S),
    )


def _texts(data: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = data.get(key, [])
    if not isinstance(found, list) or len(found) > ITEMS_MAX:
        raise SheetInvalid(f"{key}: a list of at most {ITEMS_MAX} texts is expected")
    for each in found:
        if not isinstance(each, str) or not 0 < len(each) <= TEXT_CHARACTERS_MAX:
            raise SheetInvalid(f"{key}: texts of at most {TEXT_CHARACTERS_MAX} characters are expected, in quotes")
    return tuple(found)


def _releases(data: Mapping[str, object], key: str, known: Iterable[Release]) -> frozenset[Release]:
    if key not in data:
        return frozenset(known)
    found = set()
    for text in _texts(data, key):
        try:
            release = Release.parse(text)
        except MessageInvalid as error:
            raise SheetInvalid(f"{key}: {error.reason}") from None
        if release not in known:
            raise SheetInvalid(f"{key}: {text} is not known, only {', '.join(map(str, sorted(known)))}")
        found.add(release)
    if not found:
        raise SheetInvalid(f"{key}: at least one version is needed")
    return frozenset(found)


def _on_change(data: Mapping[str, object]) -> OnChange | None:
    if data.get("on_change") is None:
        return None
    words = [each.value for each in OnChange]
    if data["on_change"] not in words:
        raise SheetInvalid(f"on_change: one of {', '.join(words)} is expected")
    return OnChange(data["on_change"])


def _components(data: Mapping[str, object], key: str) -> Mapping[str, str]:
    """Read component ids, or a mapping of them to ids of the platform."""
    found = data.get(key, [])
    if not isinstance(found, dict):
        names = _texts(data, key)
        return dict(zip(names, names, strict=True))
    if len(found) > ITEMS_MAX or not all(isinstance(each, str) and each for pair in found.items() for each in pair):
        raise SheetInvalid(f"{key}: at most {ITEMS_MAX} component ids, each with an id of the platform, are expected")
    return dict(found)


def _security_codes(data: Mapping[str, object], key: str) -> Mapping[int, str]:
    found = data.get(key, {})
    if not isinstance(found, dict):
        raise SheetInvalid(f"{key}: levels with references are expected")
    codes = {}
    for level, reference in found.items():
        if str(level) not in {"1", "2"}:
            raise SheetInvalid(f"{key}: levels are 1 and 2")
        if not isinstance(reference, str) or _REFERENCE.fullmatch(reference) is None:
            raise SheetInvalid(f"{key}: level {level} needs env:NAME or file:PATH, never the code itself")
        codes[int(level)] = reference
    return codes


def _seconds(data: Mapping[str, object], key: str, default: int) -> int:
    found = data.get(key, default)
    # JSON numbers of a registry are all fractions.
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= INTERVAL_S_MAX:
        raise SheetInvalid(f"{key}: 0 to {INTERVAL_S_MAX} whole seconds are expected")
    if found != int(found):
        raise SheetInvalid(f"{key}: 0 to {INTERVAL_S_MAX} whole seconds are expected")
    return int(found)


type Secrets = Callable[[str], str]
"""Returns the text behind the reference of a secret; raises ``SheetInvalid`` where there is none."""
