"""TLS of gRPC: both sides show a certificate, and neither needs a restart when its files are renewed.

A client believes a server only under the host name ``{service}.{trust domain}``, which every service's certificate
holds beside the names it is reached by, so that no service can stand in for another.
"""

from typing import Any

import grpc

from maasloop.identity.tls import LiveTls


def server_credentials(live: LiveTls, *, callers_certified: bool) -> grpc.ServerCredentials:
    """Return what a listener shows; ``callers_certified`` lets nobody in without a certificate of our authority."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        material = live.material
        return grpc.ssl_server_certificate_configuration(
            [(material.pair.key, material.pair.certificate)], root_certificates=material.authority
        )

    def renewed() -> Any:  # noqa: ANN401 - the stubs of gRPC forget that None means no change
        return configuration() if live.renewed() else None

    # gRPC asks at each handshake, from threads of its own.
    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        renewed,
        require_client_authentication=callers_certified,
    )


def channel_credentials(live: LiveTls) -> grpc.ChannelCredentials:
    """Return what a client shows and whom it believes."""
    material = live.material
    return grpc.ssl_channel_credentials(material.authority, material.pair.key, material.pair.certificate)


def server_name(neighbour: str, trust_domain: str) -> str:
    """Return the host name under which a service is believed."""
    return f"{neighbour}.{trust_domain}"
