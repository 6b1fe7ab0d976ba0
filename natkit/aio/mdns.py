"""Names of the local link: looked up, and published in place of addresses (RFC 6762).

A browser hides its host addresses behind names such as 5f4c1a0e-….local, which only those on its
own link can look up (draft-ietf-mmusic-mdns-ice-candidates). One socket asks and answers, on every
IPv4 interface; names of IPv6 addresses are asked for there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import uuid
from collections import defaultdict
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from natkit.aio.datagram import SocketDatagramEndpoint
from natkit.aio.sockaddr import Scopes
from natkit.errors import NetworkUnreachable
from natkit.machine import Seconds
from natkit.network import DatagramReceiver, IcmpError, Network
from natkit.wire import TransportAddress

GROUP = TransportAddress("224.0.0.251", 5353)

ASK_AGAIN: Seconds = 1.0
"""RFC 6762 §5.2: not before."""

PATIENCE: Seconds = 2.0
"""For a look-up: two questions. Whoever is on the link answers within milliseconds."""

_LIFETIME = 120  # seconds that others may remember an address (RFC 6762 §10)
_CACHE_FLUSH = dns.rdataclass.RdataClass.make(dns.rdataclass.IN | 0x8000)  # RFC 6762 §10.2
_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


class Mdns(DatagramReceiver):
    """Asks and answers on one host; made by `open`."""

    def __init__(self, sock: socket.socket, ips: tuple[str, ...]) -> None:
        self._sock, self._ips = sock, ips
        self._endpoint = SocketDatagramEndpoint(sock, self, Scopes(lambda quick: quick()))
        self._published: dict[dns.name.Name, str] = {}
        self._waiting: dict[dns.name.Name, set[asyncio.Future[str]]] = defaultdict(set)

    @classmethod
    async def open(cls, network: Network) -> Mdns:
        """Join the group on every interface.

        Raises: NetworkUnreachable: there is no multicast here.
                Unsupported: this network is simulated.
        """
        ips = tuple(i.ip for i in network.interfaces() if ":" not in i.ip)
        made = cls(await network.in_thread(lambda: _joined(ips)), ips)
        made._endpoint.start()
        return made

    async def resolve(self, name: str) -> str | None:
        """Return the address that `name` stands for; None: nobody answers."""
        asked = dns.name.from_text(name)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[asked].add(answer)
        try:
            for wait in (ASK_AGAIN, PATIENCE - ASK_AGAIN):
                self._send(_question(asked))
                done, _ = await asyncio.wait([answer], timeout=wait)
                if done:
                    return answer.result()
        finally:
            self._waiting[asked].discard(answer)
        return None

    def publish(self, randomness: Callable[[int], bytes], ip: str) -> str:
        """Answer for a name that tells nothing, a random UUID, until `close`; return it.

        Args: randomness: returns that many unpredictable bytes.
        """
        name = f"{uuid.UUID(bytes=randomness(16), version=4)}.local"
        self._published[dns.name.from_text(name)] = ip
        return name

    def close(self) -> None:
        """Ask and answer no more."""
        self._endpoint.close()

    def datagram_received(self, data: bytes, source: TransportAddress) -> None:  # noqa: ARG002 - the protocol's signature
        """Take a question or an answer of somebody on the link."""
        try:
            message = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError):
            return
        if not message.flags & dns.flags.QR:
            for question in message.question:
                self._answer(question.name, question.rdtype)
            return
        for records in (*message.answer, *message.additional):
            for record in records:
                self._heard(records.name, record)

    def error_received(self, error: IcmpError) -> None:
        """Nobody answers to a group."""

    def _answer(self, name: dns.name.Name, kind: int) -> None:
        ip = self._published.get(name)
        if ip is None:
            return
        own = _TYPES[ipaddress.ip_address(ip).version]
        # An address of the other family is told as well: who asks wants to reach the name.
        if kind in (dns.rdatatype.ANY, *_TYPES.values()):
            response = dns.message.QueryMessage(id=0)
            response.flags |= dns.flags.QR | dns.flags.AA
            packed = ipaddress.ip_address(ip).packed
            record = dns.rdata.GenericRdata(_CACHE_FLUSH, own, packed)
            response.answer.append(dns.rrset.from_rdata(name, _LIFETIME, record))
            self._send(response.to_wire())

    def _heard(self, name: dns.name.Name, record: dns.rdata.Rdata) -> None:
        if record.rdtype not in _TYPES.values():
            return
        ip = str(ipaddress.ip_address(record.to_generic().data))
        for answer in self._waiting.get(name, ()):
            if not answer.done():
                answer.set_result(ip)

    def _send(self, data: bytes) -> None:
        for ip in self._ips:
            with contextlib.suppress(OSError):
                mine = socket.inet_aton(ip)
                self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mine)
                self._endpoint.send(data, GROUP)


def _question(name: dns.name.Name) -> bytes:
    query = dns.message.make_query(name, dns.rdatatype.A)
    query.id, query.flags = 0, dns.flags.Flag(0)  # RFC 6762 §18
    return query.to_wire()


def _joined(ips: tuple[str, ...]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("", GROUP.port))
    except OSError as error:
        sock.close()
        raise NetworkUnreachable("mDNS cannot be used here", why=str(error)) from error
    for ip in ips:
        membership = socket.inet_aton(GROUP.ip) + socket.inet_aton(ip)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock
