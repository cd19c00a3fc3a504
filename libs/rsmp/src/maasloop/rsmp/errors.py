"""Errors named by what the receiver must do.

::

    RsmpError
    ├── MessageInvalid   refuse the message with ``reason``, if it has an id to refuse
    ├── NotSendable      change the message: this core version or exchange list has no such thing
    └── SheetInvalid     mend the description of a site: a key is missing or has a wrong value
"""


class RsmpError(Exception):
    """Root of all errors of this package; ``reason`` is one sentence for people, safe to send to the peer."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, cut to what a log line holds."""
        super().__init__(reason[:REASON_CHARACTERS_MAX])
        self.reason = reason[:REASON_CHARACTERS_MAX]


class MessageInvalid(RsmpError):
    """A packet holds no message of this core version, or one that says what the exchange list does not know."""

    def __init__(self, reason: str, message_id: str = "", kind: str = "") -> None:
        """Keep the id that a MessageNotAck refers to, and the type; empty if the packet has none."""
        super().__init__(reason)
        self.message_id = message_id
        self.kind = kind


class NotSendable(RsmpError):
    """The message cannot be written in the core version or exchange list of this link."""


class SheetInvalid(RsmpError):
    """The description of a site cannot be used; the reason begins with the key."""


REASON_CHARACTERS_MAX = 300
"""Longest reason that is kept or sent."""
