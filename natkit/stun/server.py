"""The server's half of the Binding method: RFC 8489, and RFC 5780 where it was asked for.

Rule of the file: a Binding server remembers nothing, so there is no state, no clock and no timer;
a request goes in, at most one reply comes out. (docs/decisions/0002 says why this is no Machine.)

The plain server answers with as little as the protocol allows, 32 bytes to a request of 20: UDP
sources can be forged, and what is sent here may hit a victim. RFC 5780 answers are three times as
long and may go to other ports, so a server speaks it only with a `Site`.
"""

from __future__ import annotations

from dataclasses import dataclass

from natkit.errors import MalformedMessage, UsageError
from natkit.stun import classic
from natkit.wire import (
    Attribute,
    ChangedAddress,
    ChangeRequest,
    MappedAddress,
    Message,
    MessageClass,
    Method,
    OtherAddress,
    Padding,
    PasswordAlgorithm,
    Realm,
    ResponseOrigin,
    ResponsePort,
    SourceAddress,
    TransportAddress,
    UnknownAttributes,
    Unrecognised,
    UserHash,
    Username,
    XorMappedAddress,
)

BAD_REQUEST = 400  # RFC 8489 §14.8, as is the next one
UNKNOWN_ATTRIBUTE = 420

_COMPREHENSION_OPTIONAL = 0x8000  # RFC 8489 §14
_CREDENTIALS = (Username, Realm, UserHash, PasswordAlgorithm)
_PLAIN_TYPES = frozenset(kind.TYPE for kind in (*_CREDENTIALS, ChangeRequest))
_DISCOVERY_TYPES = _PLAIN_TYPES | {ResponsePort.TYPE, Padding.TYPE}


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses that one RFC 5780 server listens on: every IP with every port.

    Attributes:
        ips:      one, or two of one family.
        ports:    one or two.
        known_as: behind a 1:1 NAT, the public address of each IP; empty: they are what they are.
    Raises (on creation): UsageError: more of them, equal ones, or mixed families.
    """

    ips: tuple[str, ...]
    ports: tuple[int, ...]
    known_as: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, values in (("address", self.ips), ("port", self.ports)):
            if len(set(values)) != len(values) or len(values) not in (1, 2):
                listed = ", ".join(map(str, values))
                raise UsageError(f"RFC 5780 takes one or two of each {what}, not: {listed}")
        if len({":" in ip for ip in self.ips}) > 1:
            raise UsageError(f"{' and '.join(self.ips)} are not of one IP version")

    def endpoints(self) -> tuple[TransportAddress, ...]:
        """Return what to listen on."""
        return tuple(TransportAddress(ip, port) for ip in self.ips for port in self.ports)

    def changed(self, at: TransportAddress, *, ip: bool, port: bool) -> TransportAddress | None:
        """Return the endpoint that differs from `at` as asked; None: there is no such one."""
        ips = [other for other in self.ips if (other != at.ip) == ip]
        ports = [other for other in self.ports if (other != at.port) == port]
        return TransportAddress(ips[0], ports[0]) if ips and ports else None

    def announced(self, endpoint: TransportAddress) -> TransportAddress:
        """Return how clients know one of the endpoints."""
        if not self.known_as:
            return endpoint
        return endpoint._replace(ip=self.known_as[self.ips.index(endpoint.ip)])


@dataclass(frozen=True, slots=True)
class Reply:
    """A datagram to send.

    Attributes:
        destination: where to.
        origin:      the endpoint it must leave from.
    """

    data: bytes
    destination: TransportAddress
    origin: TransportAddress


class BindingServer:
    """Answers Binding requests.

    Args:
        site: speak RFC 5780 on these endpoints; None: plain RFC 8489 on any.
    """

    def __init__(self, site: Site | None = None) -> None:
        self.site = site
        self._understood = _PLAIN_TYPES if site is None else _DISCOVERY_TYPES

    def answer(
        self, data: bytes, source: TransportAddress, *, at: TransportAddress
    ) -> Reply | None:
        """Answer one datagram.

        Args:    at: the local endpoint it came in on; with a site, one of the site's.
        Returns: None for everything that is not a Binding request (RFC 8489 §6.3), garbage too.
        """
        old = classic.looks_classic(data)
        try:
            request = Message.decode(classic.modernised(data) if old else data)
        except MalformedMessage:
            return None
        if (request.method, request.message_class) != (Method.BINDING, MessageClass.REQUEST):
            return None
        if source.port == 0:  # nobody can receive there
            return None
        reply = self._answer(request, source, at, old=old)
        if old:
            return Reply(classic.classicised(reply.data, data), reply.destination, reply.origin)
        return reply

    def _answer(
        self, request: Message, source: TransportAddress, at: TransportAddress, *, old: bool
    ) -> Reply:
        unknown = self._unknown_in(request)
        if unknown:
            return _refusal(request, UNKNOWN_ATTRIBUTE, source, at, unknown)
        response_port, padding = request.find(ResponsePort), request.find(Padding)
        if response_port is not None and (padding is not None or response_port.port == 0):
            return _refusal(request, BAD_REQUEST, source, at)  # RFC 5780 §6.1
        origin = self._origin(request, at)
        if origin is None:
            return _refusal(request, UNKNOWN_ATTRIBUTE, source, at, (ChangeRequest.TYPE,))
        destination = source
        if response_port is not None:
            destination = TransportAddress(source.ip, response_port.port)
        content = self._content(source, at, origin, padding, old=old)
        return Reply(_encoded(request, request.success(*content)), destination, origin)

    def _unknown_in(self, request: Message) -> tuple[int, ...]:
        """Return the types that must be understood and are not: those of TURN and ICE as well."""
        types = (a.type if isinstance(a, Unrecognised) else a.TYPE for a in request.attributes)
        return tuple(
            number
            for number in dict.fromkeys(types)
            if number < _COMPREHENSION_OPTIONAL and number not in self._understood
        )

    def _origin(self, request: Message, at: TransportAddress) -> TransportAddress | None:
        """Return the endpoint to answer from; None: CHANGE-REQUEST asks for one we have not.

        Answering from another one instead would make every NAT look open (RFC 5780 §6.1).
        """
        change = request.find(ChangeRequest)
        if change is None or not (change.change_ip or change.change_port):
            return at
        if self.site is None:
            return None
        return self.site.changed(at, ip=change.change_ip, port=change.change_port)

    def _content(
        self,
        source: TransportAddress,
        at: TransportAddress,
        origin: TransportAddress,
        padding: Padding | None,
        *,
        old: bool,
    ) -> list[Attribute]:
        mapped: Attribute = MappedAddress(source) if old else XorMappedAddress(source)
        if self.site is None:
            return [mapped]
        content = [mapped] if old else [mapped, MappedAddress(source)]
        known = self.site.announced(origin)
        content.append(SourceAddress(known) if old else ResponseOrigin(known))
        # Announced only when both really exist: clients take it for four endpoints.
        other = self.site.changed(at, ip=True, port=True)
        if other is not None:
            known = self.site.announced(other)
            content.append(ChangedAddress(known) if old else OtherAddress(known))
        if padding is not None:
            # As much as came in, not the MTU as RFC 5780 §6.1 has it: that would amplify.
            content.append(padding)
        return content


def _encoded(request: Message, response: Message) -> bytes:
    """FINGERPRINT only for who used it: it costs 8 bytes (RFC 8489 §7.2)."""
    return response.encode(fingerprint=request.has_fingerprint)


def _refusal(
    request: Message,
    code: int,
    source: TransportAddress,
    at: TransportAddress,
    unknown: tuple[int, ...] = (),
) -> Reply:
    """Return an error response, without reason phrase: every client knows these two codes."""
    extra = (UnknownAttributes(unknown),) if unknown else ()
    return Reply(_encoded(request, request.error(code, "", *extra)), source, at)
