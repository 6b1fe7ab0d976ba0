"""A Binding server on the UDP endpoints of any `Network`.

Every address is bound by itself and never as a wildcard, so that a reply leaves from the address
that was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from natkit.errors import UsageError
from natkit.network import DatagramEndpoint, IcmpError, Network
from natkit.stun.server import BindingServer, Site
from natkit.wire import TransportAddress

STUN_PORT = 3478  # RFC 8489 §18.6


class BindingService:
    """A running server. Close it when done.

    Attributes:
        listening: the addresses that UDP requests are answered on.
        answered:  how many requests were answered over UDP.
    """

    def __init__(self) -> None:
        self.answered = 0
        self._endpoints: dict[TransportAddress, DatagramEndpoint] = {}

    @property
    def listening(self) -> tuple[TransportAddress, ...]:
        """The bound addresses, with their real ports."""
        return tuple(self._endpoints)

    async def bind(self, network: Network, server: BindingServer, *at: TransportAddress) -> None:
        """Serve `server` on the addresses `at`; every origin it may choose must be among them.

        Raises: NetworkUnreachable: one of them cannot be bound; the service is then closed.
        """
        for address in at:
            receiver = _Receiver(self, server)
            try:
                endpoint = await network.open_datagram(receiver, local=address)
            except BaseException:
                self.close()
                raise
            receiver.local = endpoint.local
            self._endpoints[endpoint.local] = endpoint

    def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        for endpoint in self._endpoints.values():
            endpoint.close()

    def answer(
        self, server: BindingServer, data: bytes, source: TransportAddress, at: TransportAddress
    ) -> None:
        """Answer one datagram that came in on `at`."""
        reply = server.answer(data, source, at=at)
        if reply is not None and reply.origin in self._endpoints:
            self._endpoints[reply.origin].send(reply.data, reply.destination)
            self.answered += 1


class _Receiver:
    """One endpoint's callbacks."""

    def __init__(self, service: BindingService, server: BindingServer) -> None:
        self._service = service
        self._server = server
        self.local: TransportAddress | None = None

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:
        if self.local is not None:
            self._service.answer(self._server, data, source, self.local)

    def error_received(self, error: IcmpError) -> None:
        """A client has gone before its answer came: its own affair."""


async def serve_binding(
    network: Network,
    addresses: Sequence[str],
    ports: Sequence[int] = (STUN_PORT,),
    *,
    rfc5780: bool = True,
) -> BindingService:
    """Answer Binding requests on every address with every port.

    Args:
        addresses: IPs; with `rfc5780` one or two of each IP version.
        ports:     with `rfc5780` one or two, each really chosen (not 0).
        rfc5780:   answer CHANGE-REQUEST, RESPONSE-PORT and PADDING, and announce OTHER-ADDRESS
                   where there are two addresses and two ports; False: 32-byte answers.
    Raises: UsageError: RFC 5780 cannot use these addresses or ports.
            NetworkUnreachable: one of them cannot be bound.
    """
    service = BindingService()
    if not rfc5780:
        wanted = (TransportAddress(ip, port) for ip in addresses for port in ports)
        await service.bind(network, BindingServer(), *wanted)
        return service
    if 0 in ports:
        raise UsageError("RFC 5780 needs chosen ports", hint="Give two, such as 3478 and 3479")
    for ipv6 in (False, True):
        ips = tuple(ip for ip in addresses if (":" in ip) == ipv6)
        if ips:
            site = Site(ips, tuple(ports))
            await service.bind(network, BindingServer(site), *site.endpoints())
    return service
