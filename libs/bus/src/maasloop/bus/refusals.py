"""How the answer to a request over NATS says that the request failed.

Core NATS has no status beside "no responders". A refused request is answered with the sentence for people as its body,
its reason in one header, and in a second the seconds after which the same request may succeed, where it may.
"""

from collections.abc import Mapping

from maasloop.core.errors import InvalidArgument, MaasloopError, Retryable, Unavailable
from maasloop.core.reasons import Reason

REASON_HEADER = "maasloop-reason"
RETRY_AFTER_HEADER = "maasloop-retry-after"


def refusal_headers(error: MaasloopError) -> dict[str, str]:
    """Return the headers of the answer that says this error."""
    retry_after = {RETRY_AFTER_HEADER: f"{error.retry_after_s:g}"} if isinstance(error, Retryable) else {}
    return {REASON_HEADER: error.reason, **retry_after}


def raise_refusal(headers: Mapping[str, str] | None, body: bytes) -> None:
    """Raise what the answer says: `Unavailable` if the same request may succeed later, `InvalidArgument` if never.

    A failure of the service itself (`INTERNAL`) is a plain `MaasloopError`. An answer without a reason returns.
    """
    if not headers or REASON_HEADER not in headers:
        return
    reason, message = headers[REASON_HEADER], body.decode(errors="replace")
    if RETRY_AFTER_HEADER in headers:
        raise Unavailable(reason, message, retry_after_s=float(headers[RETRY_AFTER_HEADER]))
    if reason == Reason.INTERNAL:
        raise MaasloopError(reason, message)
    raise InvalidArgument(reason, message)
