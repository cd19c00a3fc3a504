"""Create a processing activity."""

from typing import cast

from maasloop.consent.domain.activity import ProcessingActivity
from maasloop.consent.ports import Register
from maasloop.core.errors import AlreadyExists
from maasloop.core.reasons import Reason
from maasloop.core.requests import Request


class CreateActivity:
    """Activities never change, so that a record always means what its person was told."""

    def __init__(self, register: Register) -> None:
        """Work on this register."""
        self._register = register

    async def __call__(self, wanted: ProcessingActivity, request: Request) -> ProcessingActivity:
        """Create and return the activity."""
        wanted.check()
        async with self._register.change() as change:
            answered = await change.answered(request)
            if answered is not None:
                return cast("ProcessingActivity", answered)
            if await change.activity(wanted.id) is not None:
                name = f"processingActivities/{wanted.id}"
                raise AlreadyExists(Reason.RESOURCE_EXISTS, f"{name} exists", {"name": name})
            stored = await change.save_activity(wanted)
            await change.answer(request, stored)
            return stored
