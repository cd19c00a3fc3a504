"""Why personal data is processed, and on which ground (GDPR Articles 6, 9 and 30)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from maasloop.core.errors import InvalidArgument
from maasloop.core.ids import require_id
from maasloop.core.reasons import Reason


class LegalBasis(StrEnum):
    """The ground an activity rests on."""

    CONSENT = "CONSENT"
    EXPLICIT_CONSENT = "EXPLICIT_CONSENT"
    PUBLIC_TASK = "PUBLIC_TASK"
    VITAL_INTERESTS = "VITAL_INTERESTS"

    @property
    def needs_consent(self) -> bool:
        """Whether processing needs a record in force."""
        return self in {LegalBasis.CONSENT, LegalBasis.EXPLICIT_CONSENT}

    @property
    def admits_objection(self) -> bool:
        """Whether a person may object (GDPR 21)."""
        return self is LegalBasis.PUBLIC_TASK


@dataclass(frozen=True, slots=True)
class ProcessingActivity:
    """An entry of the register of processing activities; it never changes: another purpose is another activity."""

    id: str
    display_name: str
    purpose: str
    legal_basis: LegalBasis
    data_categories: Sequence[str]
    retention_s: float
    controller: str
    controller_contact: str = ""
    jurisdiction: str = ""
    storage_location: str = ""
    recipients: Sequence[str] = ()
    withdrawal_method: str = ""
    revision: int = 0

    def check(self) -> None:
        """Refuse what contradicts itself."""
        require_id(self.id, "processing_activity_id")
        for category in self.data_categories:
            require_id(category, "data_categories")
        if self.retention_s <= 0:
            metadata = {"field": "retention", "rule": "duration.gt"}
            raise InvalidArgument(Reason.REQUEST_INVALID, "retention must be longer than nothing", metadata)
