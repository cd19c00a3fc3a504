"""Tell whether an activity may process a person's data now."""

from maasloop.consent.domain.permission import Permission, permission
from maasloop.consent.ports import Register
from maasloop.core.clock import Clock


class CheckConsent:
    """The same judgement that enforcers make from their projections."""

    def __init__(self, register: Register, clock: Clock) -> None:
        """Work on this register."""
        self._register = register
        self._clock = clock

    async def __call__(self, data_subject: str, activity_id: str) -> Permission:
        """Return the permission with its ground."""
        activity, latest = await self._register.standing(data_subject, activity_id)
        return permission(activity, latest, self._clock.now())
