"""Where a webhook may lead: to the public internet on a few ports, and to networks that the operator names.

What is asked of an address is asked of every address that it holds inside as well: IPv4 in IPv6 (mapped, compatible, NAT64,
6to4, Teredo). Not public are loopback, private, shared, link-local with the metadata services of clouds, multicast,
documentation and whatever is reserved (IANA's registries, as ``ipaddress`` holds them).
"""

import ipaddress
from collections.abc import Collection, Iterator

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_IPV4_MASK = 0xFFFF_FFFF


class AddressForbidden(Exception):
    """The name leads to an address that is not called."""


class Outbound:
    """Judges addresses."""

    def __init__(self, networks: Collection[Network] = (), ports: Collection[int] = ()) -> None:
        """Allow these networks, whole and on every port, and of the public internet these ports."""
        self._networks = tuple(networks)
        self._ports = frozenset(ports)

    def require(self, text: str, port: int) -> None:
        """Refuse an address that is not called."""
        address = ipaddress.ip_address(text.partition("%")[0])
        if any(address in network for network in self._networks):
            return
        if not all(_public(each) for each in (address, *_inside(address))):
            message = f"the name leads to {text}, which is not public"
            raise AddressForbidden(message)
        if port not in self._ports:
            message = f"port {port} is not called"
            raise AddressForbidden(message)


def _public(address: Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inside(address: Address) -> Iterator[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _COMPATIBLE or any(address in network for network in _NAT64):
        yield ipaddress.IPv4Address(int(address) & _IPV4_MASK)
