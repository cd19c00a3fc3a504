"""The exchange lists that a site can speak, with what supervisors of a time want differently."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import RsmpError
from maasloop.rsmp.exchange_list import tlc


class ListSheet(BaseModel):
    """One version of the exchange list for traffic light controllers.

    The rest are deviations from the standard that some supervisors, and the public test suite of 2023, ask for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    version: str
    suspended: Literal["standard", "lower case"] = "standard"
    """How a suspended alarm is spelled in core 3.2: with a capital, or without as before."""
    priority_without_cancellation: Literal["stale", "completed"] = "stale"
    """How an activated request for priority ends that nobody cancels."""
    emergency_stage: Literal["zero", "last"] = "zero"
    """What status S0006 tells when no emergency route is active."""

    @field_validator("version")
    @classmethod
    def _known(cls, version: str) -> str:
        try:
            tlc(Release.parse(version))
        except RsmpError as error:
            raise ValueError(error.reason) from None
        return version

    @property
    def release(self) -> Release:
        """Return the version to compare by."""
        return Release.parse(self.version)
