"""The exchange lists that a site can speak, with what supervisors of a time want differently."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from maasloop.rsmp.dialect import Release
from maasloop.rsmp.errors import RsmpError
from maasloop.rsmp.exchange_list import tlc


class ListSheet(BaseModel):
    """One version of the exchange list for traffic light controllers.

    The rest are ways that the standard leaves open, or that some supervisors and editions of the public test suite ask for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    version: str
    name: str = ""
    """By which it is chosen where several have one version."""
    suspended: Literal["standard", "lower case"] = "standard"
    """How a suspended alarm is spelled in core 3.2: with a capital, or without as before."""
    priority_without_cancellation: Literal["stale", "completed"] = "stale"
    """How an activated request for priority ends that nobody cancels."""
    emergency_stage: Literal["zero", "last"] = "zero"
    """What status S0006 tells when no emergency route is active."""
    undefined_values: Literal["repeated", "null"] = "repeated"
    """What is told of a command that no component takes, from core 3.1.3 on: what was ordered, or null."""

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
