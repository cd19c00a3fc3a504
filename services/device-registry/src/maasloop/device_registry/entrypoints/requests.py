"""What makes a repeated request the same one, as the handlers know it."""

from google.protobuf.message import Message

from maasloop.device_registry.ports import Request
from maasloop.rpc.requests import request_digest


def request_of(message: Message, method: str) -> Request:
    """Return what identifies a request that changes something."""
    return Request(str(getattr(message, "request_id", "")), method, request_digest(message))
