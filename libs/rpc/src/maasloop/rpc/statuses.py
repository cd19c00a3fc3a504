"""Errors of Maasloop as gRPC statuses, and back: the one map of the RPC edge.

An error travels as its canonical code with ``google.rpc.ErrorInfo{reason, domain: "maasloop", metadata}`` and, where
waiting helps, ``google.rpc.RetryInfo``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from maasloop.core.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    MaasloopError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Retryable,
    Unauthenticated,
    Unavailable,
)

from .times import duration_from_s, s_from_duration

DOMAIN = "maasloop"
RETRY_AFTER_S = 1.0

_DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[type[MaasloopError], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Conflict: grpc.StatusCode.ABORTED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_CLASSES = {code: kind for kind, code in _CODES.items()}

# What a status means that carries no ErrorInfo, because gRPC itself or a foreign server made it.
_BARE_REASONS = {
    grpc.StatusCode.UNAVAILABLE: "NEIGHBOUR_UNAVAILABLE",
    grpc.StatusCode.CANCELLED: "NEIGHBOUR_UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    grpc.StatusCode.INVALID_ARGUMENT: "REQUEST_INVALID",
    grpc.StatusCode.NOT_FOUND: "RESOURCE_NOT_FOUND",
    grpc.StatusCode.ALREADY_EXISTS: "RESOURCE_EXISTS",
    grpc.StatusCode.FAILED_PRECONDITION: "STATE_FORBIDS",
    grpc.StatusCode.ABORTED: "ETAG_MISMATCH",
    grpc.StatusCode.UNAUTHENTICATED: "CREDENTIALS_INVALID",
    grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_MISSING",
}


def code_of(error: MaasloopError) -> grpc.StatusCode:
    """Return the canonical code of an error."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)


def to_status(error: MaasloopError) -> grpc.Status:
    """Return the status that tells a caller all that the error says."""
    retry_after_s = error.retry_after_s if isinstance(error, Retryable) else None
    return status(code_of(error), error.reason, error.message, error.metadata, retry_after_s=retry_after_s)


def status(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    *,
    retry_after_s: float | None = None,
) -> grpc.Status:
    """Build a status with its details."""
    details = [ErrorInfo(reason=reason, domain=DOMAIN, metadata=dict(metadata or {}))]
    if retry_after_s is not None:
        details.append(RetryInfo(retry_delay=duration_from_s(retry_after_s)))
    whole = Status(code=code.value[0], message=message)
    for detail in details:
        whole.details.add().Pack(detail)
    return rpc_status.to_status(whole)


def translate(error: grpc.aio.AioRpcError) -> MaasloopError | None:
    """Return the error of Maasloop that a failed call stands for, or nothing if the fault is the other side's."""
    code = error.code()
    kind = _CLASSES.get(code)
    if kind is None and code not in _BARE_REASONS:
        return None
    info, retry_after_s = _details(error)
    reason = info.reason if info is not None else _BARE_REASONS.get(code, code.name)
    message = error.details() or code.name
    metadata = dict(info.metadata) if info is not None else {}
    if kind is None or issubclass(kind, Retryable):
        retryable = ResourceExhausted if kind is ResourceExhausted else Unavailable
        return retryable(reason, message, metadata, retry_after_s=retry_after_s)
    return kind(reason, message, metadata)


@contextmanager
def translated() -> Iterator[None]:
    """Turn failed calls of the block into errors of Maasloop; a fault of the other side stays what it is."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        meaning = translate(error)
        if meaning is None:
            raise
        raise meaning from error


def _details(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo | None, float]:
    info, retry_after_s = None, RETRY_AFTER_S
    for detail in _status_of(error).details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            candidate = ErrorInfo()
            detail.Unpack(candidate)
            info = candidate if candidate.domain == DOMAIN else info
        elif detail.Is(RetryInfo.DESCRIPTOR):
            retry = RetryInfo()
            detail.Unpack(retry)
            retry_after_s = s_from_duration(retry.retry_delay)
    return info, retry_after_s


def _status_of(error: grpc.aio.AioRpcError) -> Status:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()
