"""An identity provider as services see it: two documents, and tokens of who signed in.

Signing in itself is tested with a real one (``tests/security/test_sign_in.py``).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from maasloop.core.clock import SystemClock
from maasloop.identity.tokens import AUDIENCE

HOLDS_S = 3_600


@dataclass(frozen=True, slots=True)
class Issuer:
    """The provider's address, and the key that signs its tokens."""

    url: str
    key: ECKey

    def token(self, person: str, group: str) -> str:
        """Return an access token of a person of a group who has just proven who they are."""
        now = int(SystemClock().now().timestamp())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": person, "groups": [group], "auth_time": now}
        times = {"iat": now, "exp": now + HOLDS_S}
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims | times, self.key)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Serve the documents on loopback."""
    key = ECKey.generate_key("P-256", {"kid": "one"})
    documents: dict[str, Any] = {"/keys": {"keys": [key.as_dict(private=False)]}}

    class Documents(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Documents) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        documents["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Issuer(url, key)
        server.shutdown()
        thread.join()
