"""Whether an activity may process a person's data: what is not known is not permitted."""

from dataclasses import dataclass
from datetime import datetime

from .activity import ProcessingActivity
from .record import ConsentRecord, RecordState


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer, its ground or what is missing, and the record that decides, if any."""

    permitted: bool
    detail: str
    record: ConsentRecord | None = None


def permission(activity: ProcessingActivity | None, latest: ConsentRecord | None, now: datetime) -> Permission:
    """Judge by an activity and the latest record of the person for it."""
    if activity is None:
        return Permission(permitted=False, detail="there is no such processing activity")
    basis = activity.legal_basis
    if basis.needs_consent:
        return _by_consent(latest, now)
    if latest is not None and latest.state is RecordState.ERASED:
        return Permission(permitted=False, detail="the person's data is to be erased", record=latest)
    if basis.admits_objection and latest is not None and latest.state is RecordState.OBJECTED:
        return Permission(permitted=False, detail="the person objected", record=latest)
    ground = "a public task to which the person did not object" if basis.admits_objection else "vital interests"
    return Permission(permitted=True, detail=f"the activity rests on {ground}")


def _by_consent(latest: ConsentRecord | None, now: datetime) -> Permission:
    if latest is None:
        return Permission(permitted=False, detail="the person never consented")
    if latest.in_force(now):
        return Permission(permitted=True, detail="the person consents", record=latest)
    state = RecordState.EXPIRED if latest.state is RecordState.GIVEN else latest.state
    return Permission(permitted=False, detail=f"the person's consent is {state.lower()}", record=latest)
