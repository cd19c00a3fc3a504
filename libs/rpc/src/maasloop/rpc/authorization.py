"""Whether a caller may do what it asks, from what the contract says that a method needs.

``RoleAuthorizer`` reads the option ``maasloop.api.common.v1.permission`` of the method, takes district, domain and data
subject out of the request, and asks the table of roles. A method without the option is refused to everybody; what a
request does not tell is taken as the whole city, all domains.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message

from maasloop.api.common.v1 import permission_pb2
from maasloop.core.errors import PermissionDenied
from maasloop.core.reasons import Reason
from maasloop.identity.principals import Principal
from maasloop.identity.roles import ANY, Need, Roles

from .step_up import StepUp

DISTRICTS = "districts"
DATA_SUBJECTS = "dataSubjects"
ALL = "-"
"""The id that stands for all of a collection (AIP-159)."""


class Authorizer(Protocol):
    """Answers for a server whether a call may be made."""

    async def authorize(self, principal: Principal, method: str, request: Message, *, continued: bool = False) -> None:
        """Refuse with PermissionDenied what the caller has no right to, and with Unauthenticated who must prove more.

        ``method`` is ``/package.Service/Method``. ``continued`` is set for a further message of a stream of requests,
        whose first message was permitted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource belongs whose name does not say it."""

    district: str | None = None
    """Id of its district; None means the whole city."""
    domain: str | None = None
    """Its domain; None means all."""
    data_subject: str | None = None
    """Key of the person whose data it is."""


type Places = Callable[[Sequence[str]], Awaitable[Mapping[str, Place]]]
"""Tells by name where resources belong, all those of a request at once; without what is no resource, or nobody knows."""


async def nowhere(_names: Sequence[str]) -> Mapping[str, Place]:
    """Know no resource."""
    return {}


class RoleAuthorizer:
    """Asks the table of roles."""

    def __init__(self, roles: Roles, places: Places = nowhere, step_up: StepUp | None = None) -> None:
        """``places`` is asked about names without a district, and about observed properties.

        Without ``step_up`` nobody's proof is fresh enough for methods that want one.
        """
        self._roles = roles
        self._places = places
        self._step_up = step_up
        self._asks: dict[str, permission_pb2.Permission] = {}

    async def authorize(self, principal: Principal, method: str, request: Message, *, continued: bool = False) -> None:
        """Refuse with PermissionDenied what no grant of the caller covers, with Unauthenticated who must prove more."""
        asked = self._asks.get(method)
        if asked is None:
            asked = self._asks[method] = permission_of(method)
        if asked.anonymous or (continued and not any(_texts(request, asked.objects))):
            return
        if not asked.name or not self._roles.permits(principal, await self.need(asked, request)):
            message = f"{principal} may not {asked.name or method} here"
            raise PermissionDenied(Reason.PERMISSION_MISSING, message, {"permission": asked.name})
        if asked.step_up:
            if self._step_up is None:
                raise PermissionDenied(Reason.PERMISSION_MISSING, f"nobody may {asked.name} here")
            self._step_up.require(principal)

    async def need(self, asked: permission_pb2.Permission, request: Message) -> Need:
        """Return what a request needs, for a method that asks for such a permission."""
        districts: set[str] = set()
        data_subjects: set[str] = set()
        for place in await self._where(list(_texts(request, asked.objects))):
            if place.data_subject is not None:
                data_subjects.add(place.data_subject)
            if place.district is not None:
                districts.add(place.district)
            elif place.data_subject is None:
                # One object that nobody can place makes the call a matter of the whole city.
                return Need(asked.name, None, await self._domains(asked, request))
        return Need(
            asked.name,
            ANY if asked.shared else frozenset(districts) or None,
            await self._domains(asked, request),
            frozenset(data_subjects),
        )

    async def _where(self, texts: Sequence[str]) -> list[Place]:
        """Return where the objects of a request belong; what nobody can place, in the whole city."""
        told = {text: _told(text) for text in texts}
        hidden = [text for text, place in told.items() if place is None]
        found = await self._places(hidden) if hidden else {}
        return [place or found.get(text) or Place() for text, place in told.items()]

    async def _domains(self, asked: permission_pb2.Permission, request: Message) -> frozenset[str] | None:
        if asked.domain:
            return frozenset({asked.domain})
        if not asked.domain_path:
            return ANY
        values = list(_values(request, asked.domain_path))
        domains = {_declared(value) for value in values if isinstance(value, Message)}
        named = [text if "/" in text else f"observedProperties/{text}" for text in values if isinstance(text, str)]
        if named:
            found = await self._places(named)
            domains |= {found[name].domain or "" if name in found else "" for name in named}
        return None if "" in domains or not domains else frozenset(domains)


def _told(text: str) -> Place | None:
    """Return where an object belongs whose name tells it; none for another."""
    collection, slash, rest = text.partition("/")
    key = rest.partition("/")[0]
    if not slash:
        return Place(district=None if text == ALL else text)
    if collection == DISTRICTS:
        return Place(district=None if key in {ALL, ""} else key)
    return Place(data_subject=key) if collection == DATA_SUBJECTS else None


def permission_of(method: str) -> permission_pb2.Permission:
    """Return what ``/package.Service/Method`` asks for; an empty permission if it declares none or is not known."""
    try:
        found: MethodDescriptor = Default().FindMethodByName(method.lstrip("/").replace("/", "."))
    except KeyError:
        return permission_pb2.Permission()
    declared: permission_pb2.Permission = found.GetOptions().Extensions[permission_pb2.permission]
    return declared


def _texts(request: Message, paths: Iterable[str]) -> Iterator[str]:
    """Yield the strings at the paths that are not empty."""
    return (str(value) for path in paths for value in _values(request, path) if value)


def _values(message: Message, path: str) -> Iterator[object]:
    """Yield what is set at a path of fields, each element of a repeated one."""
    name, _, rest = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        elements: Iterable[object] = getattr(message, name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE and not message.HasField(name):
        return
    else:
        elements = (getattr(message, name),)
    for element in elements:
        if rest and isinstance(element, Message):
            yield from _values(element, rest)
        else:
            yield element


def _declared(choice: Message) -> str:
    """Return the domain that the contract gives to what is chosen in the message; empty if there is none."""
    for oneof in choice.DESCRIPTOR.oneofs:
        chosen = choice.WhichOneof(oneof.name)
        if chosen is not None:
            options = choice.DESCRIPTOR.fields_by_name[chosen].GetOptions()
            return str(options.Extensions[permission_pb2.domain])
    return ""
