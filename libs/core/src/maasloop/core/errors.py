"""Errors named by what the caller must do.

::

    MaasloopError
    ├── InvalidArgument       change the request
    ├── NotFound              ask for something that exists
    ├── AlreadyExists         use what exists, or another id
    ├── FailedPrecondition    bring the resource into another state first
    ├── Conflict              read again, then retry with the new etag
    ├── Unauthenticated       show who you are
    ├── PermissionDenied      obtain the right first
    ├── ResourceExhausted     wait ``retry_after_s``, then retry
    └── Unavailable           wait ``retry_after_s``, then retry

They are mapped once per edge: ``maasloop.rpc`` to a gRPC status with ``google.rpc.ErrorInfo``, ``maasloop.bus`` to a
negative acknowledgement or a dead letter, and the HTTP doors to an RFC 9457 problem. Any other exception is an internal
error: it is logged with its trace and reaches the caller without detail.
"""

from collections.abc import Mapping
from types import MappingProxyType


class MaasloopError(Exception):
    """Root of all errors that carry a reason to the caller.

    ``reason`` is a name of ``maasloop.api.common.v1.ErrorReason`` without its prefix (for example ``DEVICE_UNKNOWN``).
    ``metadata`` has stable keys, documented beside the reason, and never holds a payload or personal data.
    """

    retryable = False

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        """Keep the reason for programs, the message for people."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))


class InvalidArgument(MaasloopError):
    """The request can never succeed as it is."""


class NotFound(MaasloopError):
    """The named resource does not exist."""


class AlreadyExists(MaasloopError):
    """A resource of this name exists and differs from the request."""


class FailedPrecondition(MaasloopError):
    """The resource is not in a state that allows this."""


class Conflict(MaasloopError):
    """Somebody else changed the resource since it was read."""


class Unauthenticated(MaasloopError):
    """The caller has not proven who it is."""


class PermissionDenied(MaasloopError):
    """The caller has no right to this."""


class Retryable(MaasloopError):
    """The same request may succeed later."""

    retryable = True

    def __init__(
        self, reason: str, message: str, metadata: Mapping[str, str] | None = None, *, retry_after_s: float = 1.0
    ) -> None:
        """Say when to come back, in seconds."""
        super().__init__(reason, message, metadata)
        self.retry_after_s = retry_after_s


class ResourceExhausted(Retryable):
    """A limit is reached; space comes back by itself."""


class Unavailable(Retryable):
    """A neighbour does not answer."""
