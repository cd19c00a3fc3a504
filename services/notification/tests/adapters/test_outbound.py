"""Where webhooks may lead."""

import ipaddress

import pytest

from maasloop.notification.adapters.outbound import AddressForbidden, Outbound

PUBLIC = Outbound(ports=[443])


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_the_public_internet_is_called_on_the_ports_named(address: str) -> None:
    """An address of the internet is called, on the ports that are allowed and on no other."""
    PUBLIC.require(address, 443)
    with pytest.raises(AddressForbidden, match="port 22"):
        PUBLIC.require(address, 22)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104 - an address that must be refused
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:808:808:0:0:f5ff:fffe",
    ],
)
def test_what_is_not_public_is_not_called(address: str) -> None:
    """Loopback, private, shared, link-local and reserved addresses are refused, also inside an IPv6 address."""
    with pytest.raises(AddressForbidden):
        PUBLIC.require(address, 443)


def test_a_network_that_the_operator_names_is_called() -> None:
    """Only inside that network, and there on every port."""
    outbound = Outbound([ipaddress.ip_network("10.20.0.0/16")], ports=[443])
    outbound.require("10.20.3.4", 8080)
    for address in ("10.21.0.1", "::ffff:10.20.3.4", "127.0.0.1"):
        with pytest.raises(AddressForbidden):
            outbound.require(address, 443)
