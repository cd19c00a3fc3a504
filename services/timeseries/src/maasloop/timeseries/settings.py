"""Settings of timeseries: ``MAASLOOP_TIMESERIES__…``."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from maasloop.runtime.settings import ServiceSettings
from maasloop.timeseries.domain.partitioning import PARTITIONS_MAX, Share


class TimeseriesSettings(ServiceSettings, service="timeseries"):
    """What timeseries can be told."""

    device_registry_address: str = "127.0.0.1:50052"
    """Host and port of the registry: properties decide where rows go, devices whose they are."""
    consent_address: str = "127.0.0.1:50056"
    """Host and port of consent: personal series are hidden without it."""
    postgres_connections_max: int = Field(default=8, ge=4, le=100)
    """Most connections for reads; the four writers have up to seven more."""
    tenants_file: Path | None = None
    """File that declares tenants (`tenants.json`), whose waiting uplinks count in the balance; none or absent: only the city's."""
    partitions: int = Field(default=1, ge=1, le=PARTITIONS_MAX)
    """Into how many partitions the districts are divided; each is written by one process."""
    partition: int = Field(default=0, ge=0, lt=PARTITIONS_MAX)
    """Which of them this process writes, counted from 0: the number of its pod. It answers reads of all."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.partition >= self.partitions:
            message = f"partition {self.partition} is none of {self.partitions}, which are counted from 0"
            raise ValueError(message)
        return self

    @property
    def share(self) -> Share:
        """The districts that this process writes."""
        return Share(self.partition, self.partitions)
