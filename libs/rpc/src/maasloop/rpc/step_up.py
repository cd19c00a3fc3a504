"""A fresh proof of who a person is, for calls that one would regret (RFC 9470): a token that was stolen is not enough.

The provider says in the access token when and how the person proved it (``auth_time``, ``acr``; RFC 9068 2.2.1). Other
tokens for the same sign-in do not make the proof younger.
"""

from dataclasses import dataclass
from datetime import timedelta

from maasloop.core.clock import Clock
from maasloop.core.errors import PermissionDenied, Unauthenticated
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Kind, Principal
from maasloop.identity.tokens import SKEW_MAX_S


@dataclass(frozen=True, slots=True)
class StepUp:
    """How old a proof may be, and of which kind it must be."""

    clock: Clock
    max_age_s: int = 300
    acr: str = ""
    """Value that ``acr`` must have; empty takes every kind of proof."""

    def require(self, principal: Principal) -> None:
        """Refuse a person whose proof is too old, and a program in any case.

        The operator of the machine is let in: the certificate lies where only they can read it.
        """
        if principal.kind is Kind.OPERATOR:
            return
        if principal.kind is not Kind.PERSON:
            raise PermissionDenied(Reason.PERMISSION_MISSING, f"{principal} may not: a person must", {})
        oldest = self.clock.now() - timedelta(seconds=self.max_age_s + SKEW_MAX_S)
        proven = principal.authenticated_time
        if proven is None or proven < oldest or (self.acr and principal.acr != self.acr):
            message = f"prove anew who you are, not longer than {self.max_age_s} s ago: maasloop login --step-up"
            metadata = {"max_age": str(self.max_age_s)}
            if self.acr:
                message += f" --acr-values {self.acr}"
                metadata["acr_values"] = self.acr
            raise Unauthenticated(Reason.STEP_UP_REQUIRED, message, metadata)
