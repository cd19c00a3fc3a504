"""What the auditor is told of a database that does not answer."""

import socket

import pytest

from maasloop.core.errors import Unavailable
from maasloop.postgres.auditor import auditing


def test_a_database_that_does_not_answer_is_named_with_the_reason_in_one_line() -> None:
    """The client library spreads it over several lines."""
    with socket.socket() as taken:
        # Bound and not listening: whoever connects is refused at once.
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable) as refused, auditing(f"postgresql://auditor:secret@127.0.0.1:{port}/audit"):
            pass
    message = str(refused.value)
    assert f"port {port} failed" in message
    assert "refused" in message
    assert "\n" not in message
    assert "secret" not in message
