"""The gRPC door of the catalogue: observed properties, device types, districts and groups."""

from typing import Any, cast

import grpc
from google.protobuf.message import Message

from maasloop.api.device.v1 import device_pb2
from maasloop.api.device.v1 import device_service_pb2 as pb
from maasloop.core.ids import DistrictName, parse_name
from maasloop.device_registry.domain.catalogue import DeviceGroup, DeviceType, District, ObservedProperty
from maasloop.device_registry.domain.resource import COLLECTIONS, Key, Kind
from maasloop.device_registry.entrypoints import messages
from maasloop.device_registry.handlers.create_resource import CreateResource
from maasloop.device_registry.handlers.get_resource import GetResource
from maasloop.device_registry.handlers.list_resources import ListResources
from maasloop.device_registry.handlers.update_device_type import CHANGEABLE, UpdateDeviceType
from maasloop.device_registry.ports import Resource
from maasloop.rpc.requests import mask_of, paging, request_of

type Context = grpc.aio.ServicerContext[Any, Any]


class CatalogueDoor:
    """Methods of DeviceService that are not about devices themselves."""

    def __init__(
        self,
        *,
        create_resource: CreateResource,
        update_device_type: UpdateDeviceType,
        get_resource: GetResource,
        list_resources: ListResources,
    ) -> None:
        self._create_resource = create_resource
        self._update_device_type = update_device_type
        self._get_resource = get_resource
        self._list_resources = list_resources

    async def CreateDeviceType(self, request: pb.CreateDeviceTypeRequest, context: Context) -> device_pb2.DeviceType:
        """Create a device type."""
        wanted = messages.device_type_from(request.device_type, request.device_type_id)
        return messages.device_type_message(
            await self._create_resource(wanted, request_of(request, "CreateDeviceType"))
        )

    async def GetDeviceType(self, request: pb.GetDeviceTypeRequest, context: Context) -> device_pb2.DeviceType:
        """Return a device type."""
        key = Key(Kind.DEVICE_TYPE, "", parse_name(request.name, COLLECTIONS[Kind.DEVICE_TYPE])[0])
        return messages.device_type_message(cast("DeviceType", await self._get_resource(key)))

    async def ListDeviceTypes(self, request: pb.ListDeviceTypesRequest, context: Context) -> pb.ListDeviceTypesResponse:
        """List device types."""
        found, token = await self._page(request, Kind.DEVICE_TYPE, "")
        types = [messages.device_type_message(cast("DeviceType", item)) for item in found]
        return pb.ListDeviceTypesResponse(device_types=types, next_page_token=token)

    async def UpdateDeviceType(self, request: pb.UpdateDeviceTypeRequest, context: Context) -> device_pb2.DeviceType:
        """Change a device type."""
        message = request.device_type
        wanted = messages.device_type_from(message, parse_name(message.name, COLLECTIONS[Kind.DEVICE_TYPE])[0])
        fields_set = {field.name for field, _ in message.ListFields()}
        changed = mask_of(request.update_mask, message) or CHANGEABLE & fields_set
        stored = await self._update_device_type(wanted, changed, message.etag, request_of(request, "UpdateDeviceType"))
        return messages.device_type_message(stored)

    async def CreateObservedProperty(
        self, request: pb.CreateObservedPropertyRequest, context: Context
    ) -> device_pb2.ObservedProperty:
        """Create an observed property."""
        wanted = messages.observed_property_from(request.observed_property, request.observed_property_id)
        return messages.observed_property_message(
            await self._create_resource(wanted, request_of(request, "CreateObservedProperty"))
        )

    async def ListObservedProperties(
        self, request: pb.ListObservedPropertiesRequest, context: Context
    ) -> pb.ListObservedPropertiesResponse:
        """List observed properties."""
        found, token = await self._page(request, Kind.OBSERVED_PROPERTY, "")
        observed = [messages.observed_property_message(cast("ObservedProperty", item)) for item in found]
        return pb.ListObservedPropertiesResponse(observed_properties=observed, next_page_token=token)

    async def CreateDistrict(self, request: pb.CreateDistrictRequest, context: Context) -> device_pb2.District:
        """Create a district."""
        wanted = messages.district_from(request.district, request.district_id)
        return messages.district_message(await self._create_resource(wanted, request_of(request, "CreateDistrict")))

    async def GetDistrict(self, request: pb.GetDistrictRequest, context: Context) -> device_pb2.District:
        """Return a district."""
        key = Key(Kind.DISTRICT, "", DistrictName.parse(request.name).district)
        return messages.district_message(cast("District", await self._get_resource(key)))

    async def ListDistricts(self, request: pb.ListDistrictsRequest, context: Context) -> pb.ListDistrictsResponse:
        """List districts."""
        found, token = await self._page(request, Kind.DISTRICT, "")
        districts = [messages.district_message(cast("District", item)) for item in found]
        return pb.ListDistrictsResponse(districts=districts, next_page_token=token)

    async def CreateDeviceGroup(self, request: pb.CreateDeviceGroupRequest, context: Context) -> device_pb2.DeviceGroup:
        """Create a device group."""
        district = DistrictName.parse(request.parent).district
        wanted = messages.device_group_from(request.device_group, district, request.device_group_id)
        stored = await self._create_resource(wanted, request_of(request, "CreateDeviceGroup"))
        return messages.device_group_message(stored)

    async def ListDeviceGroups(
        self, request: pb.ListDeviceGroupsRequest, context: Context
    ) -> pb.ListDeviceGroupsResponse:
        """List the groups of a district."""
        district = DistrictName.parse(request.parent).district
        found, token = await self._page(request, Kind.DEVICE_GROUP, district)
        groups = [messages.device_group_message(cast("DeviceGroup", item)) for item in found]
        return pb.ListDeviceGroupsResponse(device_groups=groups, next_page_token=token)

    async def _page(self, request: Message, kind: Kind, district: str) -> tuple[list[Resource], str]:
        page = paging(request, kind=kind, parent=district)
        found = await self._list_resources.of_kind(kind, district, after=page.after_id, limit=page.limit)
        last = [found.items[-1].id] if found.items else []
        return list(found.items), page.next_token(last, more=found.more)
