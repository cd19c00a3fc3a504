"""Reasons of refusals: the names of ``maasloop.api.common.v1.ErrorReason`` without their prefix.

Generated from ``proto/maasloop/api/common/v1/error_reason.proto`` by ``make proto``; never edited. It exists so that a
service's domain may name a reason without importing protobuf.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a request, a reading or a command was refused."""

    REQUEST_INVALID = "REQUEST_INVALID"
    """A field breaks a rule of its message. Metadata: `field`, `rule`."""

    ID_MALFORMED = "ID_MALFORMED"
    """An id is not one. Metadata: `field`."""

    NAME_MALFORMED = "NAME_MALFORMED"
    """A resource name has another form. Metadata: `pattern`."""

    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    """A page token is not one of ours, or belongs to other arguments."""

    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    """No resource of this name. Metadata: `name`."""

    RESOURCE_EXISTS = "RESOURCE_EXISTS"
    """A resource of this name exists. Metadata: `name`."""

    ETAG_MISMATCH = "ETAG_MISMATCH"
    """The resource changed since it was read. Metadata: `etag`."""

    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    """The same request id came with another body."""

    STATE_FORBIDS = "STATE_FORBIDS"
    """The resource's state does not allow this. Metadata: `state`."""

    RESOURCE_IN_USE = "RESOURCE_IN_USE"
    """The resource is referred to by others. Metadata: `referrer`."""

    IMPORT_ROW_INVALID = "IMPORT_ROW_INVALID"
    """A row of an import is wrong; nothing was imported. Metadata: `row`, `field`."""

    RESUME_TOKEN_EXPIRED = "RESUME_TOKEN_EXPIRED"
    """A resume token is too old: start with a snapshot."""

    OVERLOADED = "OVERLOADED"
    """The server is at its limit; retry later."""

    NEIGHBOUR_UNAVAILABLE = "NEIGHBOUR_UNAVAILABLE"
    """A neighbour (database, broker, service) does not answer; retry later."""

    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """The caller's deadline passed."""

    RANGE_TOO_LONG = "RANGE_TOO_LONG"
    """The range asked for is too long for one call. Metadata: `limit`, `estimate` where there is one, and `hint`: what
    would do."""

    INTERNAL = "INTERNAL"
    """A fault of ours; look it up by the trace id."""

    DRAINING = "DRAINING"
    """The service is shutting down."""

    CALLER_TOO_SLOW = "CALLER_TOO_SLOW"
    """The caller does not read its stream as fast as it fills; resume with the last token. Metadata: `limit`."""

    PAYLOAD_UNDECODABLE = "PAYLOAD_UNDECODABLE"
    """The payload is not of the coding its topic or content type says."""

    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    """The payload is larger than the limit of the door."""

    PAYLOAD_TOO_DEEP = "PAYLOAD_TOO_DEEP"
    """The payload is nested deeper than the limit."""

    DEVICE_UNKNOWN = "DEVICE_UNKNOWN"
    """No such device in the district."""

    DEVICE_INACTIVE = "DEVICE_INACTIVE"
    """The device is not active."""

    DEVICE_FOREIGN = "DEVICE_FOREIGN"
    """The sender does not speak for this device."""

    PROPERTY_UNKNOWN = "PROPERTY_UNKNOWN"
    """The device's type does not observe this property."""

    VALUE_NOT_A_NUMBER = "VALUE_NOT_A_NUMBER"
    """The value is NaN, infinite or of another kind than the property's."""

    VALUE_OUT_OF_RANGE = "VALUE_OUT_OF_RANGE"
    """The value lies outside the physical range of the property."""

    TIME_TOO_OLD = "TIME_TOO_OLD"
    """The event time is older than 30 days or older than the retention of the series."""

    TIME_IN_FUTURE = "TIME_IN_FUTURE"
    """The event time is more than 5 minutes ahead of receipt."""

    UNIT_MISMATCH = "UNIT_MISMATCH"
    """The unit cannot be converted to the property's."""

    CONSENT_MISSING = "CONSENT_MISSING"
    """No consent is in force for this personal series, or the projection is not confirmed."""

    VALUE_CONFLICT = "VALUE_CONFLICT"
    """Another value is stored under the same series and time; the first one is kept."""

    STREAM_FULL = "STREAM_FULL"
    """The stream is full; nothing was stored."""

    SHED = "SHED"
    """Shed under load by priority class."""

    TEXT_INVALID = "TEXT_INVALID"
    """A text is longer than the limit, or holds a control character (a state: NUL). Metadata: `field`, of a request."""

    COLUMNS_INCONSISTENT = "COLUMNS_INCONSISTENT"
    """Columns of a batch differ in length, or an index points outside the dictionary."""

    CAPABILITY_MISSING = "CAPABILITY_MISSING"
    """The device has no actuator that understands this setpoint."""

    SIGNAL_CONFLICT = "SIGNAL_CONFLICT"
    """Two signal groups that conflict would not be red together. Metadata: `groups`."""

    INTERGREEN_TOO_SHORT = "INTERGREEN_TOO_SHORT"
    """The time between end of yellow and start of green is too short. Metadata: `groups`, `needed_s`."""

    YELLOW_TOO_SHORT = "YELLOW_TOO_SHORT"
    """The yellow of a group is too short."""

    GREEN_TOO_SHORT = "GREEN_TOO_SHORT"
    """The green of a group would end too early."""

    GREEN_TOO_LONG = "GREEN_TOO_LONG"
    """The green of a group would last too long."""

    WAIT_TOO_LONG = "WAIT_TOO_LONG"
    """A called group would wait too long."""

    START_STATE_DIFFERS = "START_STATE_DIFFERS"
    """The street is not in the state that the sequence starts from."""

    SIGNAL_GROUP_UNKNOWN = "SIGNAL_GROUP_UNKNOWN"
    """The group is not in the junction's data sheet."""

    ASPECT_FORBIDDEN = "ASPECT_FORBIDDEN"
    """The aspect may not be asked for remotely."""

    EXPIRY_INVALID = "EXPIRY_INVALID"
    """No expiry, or one beyond the limit."""

    COMMAND_EXPIRED = "COMMAND_EXPIRED"
    """The command's expiry passed before its effect was seen."""

    COMMAND_SUPERSEDED = "COMMAND_SUPERSEDED"
    """A newer or stronger request for the same target took its place."""

    OUTRANKED = "OUTRANKED"
    """A stronger authority holds the target."""

    RATE_LIMITED = "RATE_LIMITED"
    """Too many requests for one target."""

    BELOW_FLOOR = "BELOW_FLOOR"
    """The level lies below the floor of the lighting class."""

    DEVICE_REFUSED = "DEVICE_REFUSED"
    """The device refused. Metadata: `device_reason`."""

    DEVICE_SILENT = "DEVICE_SILENT"
    """The device did not answer in time."""

    EFFECT_NOT_OBSERVED = "EFFECT_NOT_OBSERVED"
    """The observed state differs from the commanded one at the deadline."""

    EFFECT_OBSERVED = "EFFECT_OBSERVED"
    """The observed state equals the commanded one."""

    COMMAND_CANCELLED = "COMMAND_CANCELLED"
    """The caller withdrew the command."""

    DATA_SHEET_INVALID = "DATA_SHEET_INVALID"
    """The junction's data sheet is missing or refused."""

    LOCAL_CONTROL = "LOCAL_CONTROL"
    """The target is under local control."""

    LEASE_LOST = "LEASE_LOST"
    """Nobody holds the lease, or another does."""

    POLICY_INVALID = "POLICY_INVALID"
    """A policy cannot be compiled or evaluated. Metadata: `expression`."""

    AUTHORITY_TOO_LOW = "AUTHORITY_TOO_LOW"
    """Such a setpoint needs a higher authority. Metadata: `authority`."""

    APPROVAL_MISSING = "APPROVAL_MISSING"
    """Such a setpoint needs a second person's agreement."""

    ALERT_STATE_FORBIDS = "ALERT_STATE_FORBIDS"
    """The alert is not in a state that allows this."""

    DELIVERY_REFUSED = "DELIVERY_REFUSED"
    """The receiving side refused for good."""

    DELIVERY_EXHAUSTED = "DELIVERY_EXHAUSTED"
    """All attempts failed."""

    ADDRESS_INVALID = "ADDRESS_INVALID"
    """The address of a subscription is not usable."""

    ACTIVITY_FORBIDS = "ACTIVITY_FORBIDS"
    """The processing activity does not rest on consent, or is retired."""

    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    """The caller shows no certificate, token or key."""

    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    """A certificate, token or key is none of ours, is forged, or is meant for somebody else."""

    CREDENTIALS_EXPIRED = "CREDENTIALS_EXPIRED"
    """A certificate, token or key is past its end."""

    CREDENTIALS_REVOKED = "CREDENTIALS_REVOKED"
    """The credential, or whoever holds it, was revoked."""

    PERMISSION_MISSING = "PERMISSION_MISSING"
    """The caller is known and has no right to this. Metadata: `permission`."""

    REVOCATIONS_UNKNOWN = "REVOCATIONS_UNKNOWN"
    """Revocations have not been heard of for a while, so that no token is believed; retry later."""

    STEP_UP_REQUIRED = "STEP_UP_REQUIRED"
    """The person has not proven lately who they are: sign in anew, as RFC 9470 has it. Metadata: `max_age` (seconds), and
    `acr_values` where the proof must be of a kind."""

    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    """The audit log can't be written, so that nothing may be changed; retry later."""

    CLAIM_INVALID = "CLAIM_INVALID"
    """An enrolment claim is unknown, used, expired, or another device's."""
