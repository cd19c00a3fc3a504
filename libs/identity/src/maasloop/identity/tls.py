"""What a TLS peer of ours holds, followed as its files are renewed, so that no process restarts for a certificate."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from maasloop.core.clock import Clock, SystemClock

from .certificates import Pair, TlsFiles, read_pair, uris_of
from .principals import SCHEME

LOOK_INTERVAL_S = 1.0
"""Shortest time between two looks at the files."""


@dataclass(frozen=True, slots=True)
class Material:
    """Certificate, key and authority as they are at a moment."""

    pair: Pair
    authority: bytes
    """Certificates (PEM) of the authorities whose peers are believed."""

    @property
    def trust_domain(self) -> str:
        """The trust domain of the holder's own name, to which its peers must belong; empty if it has none."""
        names = (urlsplit(uri) for uri in uris_of(self.pair.certificate))
        return next((name.netloc for name in names if name.scheme == SCHEME), "")


class LiveTls:
    """The material of three files, read again when they change. Each user of it has one of its own."""

    def __init__(self, files: TlsFiles, clock: Clock | None = None) -> None:
        """Read the files; raises ``OSError`` or ``ValueError`` when they are of no use."""
        self.files = files
        self._clock = clock or SystemClock()
        self._looked_s = self._clock.monotonic_s()
        self._seen = self._stamps()
        self.material = self._read()

    def renewed(self) -> bool:
        """Look at the files, at most once a second, and tell whether the material changed.

        Files that are of no use, as between the renames of a renewal, are looked at again the next time.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < LOOK_INTERVAL_S:
            return False
        self._looked_s = now_s
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return False
            material = self._read()
        except (OSError, ValueError):
            return False
        self._seen = stamps
        changed, self.material = material != self.material, material
        return changed

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a listener that shows our certificate and asks for none (TLS 1.2 or later)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.files.certificate, self.files.key)
        return context

    def _read(self) -> Material:
        pair = read_pair(self.files.certificate, self.files.key)
        if pair is None:
            message = f"{self.files.certificate} and {self.files.key} do not belong together"
            raise ValueError(message)
        return Material(pair, self.files.authority.read_bytes())

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(_stamp, (self.files.certificate, self.files.key, self.files.authority)))


def client_context(authority: Path, own: TlsFiles | None = None) -> ssl.SSLContext:
    """Return a context for callers that believe servers of one authority, and show a certificate if they have one."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def following_context(live: LiveTls) -> ssl.SSLContext:
    """Return a context of a listener whose handshakes follow the files."""
    front = live.server_context()
    behind = [front]

    def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if live.renewed():
            behind[0] = live.server_context()
        connection.context = behind[0]

    # OpenSSL calls it for each handshake, also for clients that name no host.
    front.sni_callback = choose
    return front


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino
