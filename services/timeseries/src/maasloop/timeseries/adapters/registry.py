"""Timeseries' view of the registry: what kind of rows a property makes, how long they are kept, and whose they are."""

from maasloop.api.device.v1.device_pb2 import Device, ObservedProperty
from maasloop.api.device.v1.events_pb2 import RegistryResource
from maasloop.core.domains import Retention
from maasloop.timeseries.domain.series import Facts, Kind, PersonalDevice, PropertyFacts

_KINDS = {ObservedProperty.KIND_STATE: Kind.STATES, ObservedProperty.KIND_POSITION: Kind.POSITIONS}


def facts_of(resource: RegistryResource) -> tuple[str, Facts | None] | None:
    """Return the name and the facts of a resource; devices of nobody are nothing to us, and save their memory."""
    which = resource.WhichOneof("resource")
    if which == "observed_property":
        found = resource.observed_property
        return found.name, PropertyFacts(_KINDS.get(found.kind, Kind.NUMBERS), Retention(found.retention))
    if which == "device":
        return resource.device.name, _person(resource.device)
    return None


def _person(device: Device) -> PersonalDevice | None:
    # A retired device keeps its rows, and they stay a person's.
    if not device.data_subject:
        return None
    return PersonalDevice(
        device.data_subject.removeprefix("dataSubjects/"),
        device.processing_activity.removeprefix("processingActivities/"),
    )
