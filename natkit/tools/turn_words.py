"""What a failure to relay means, and what mends it, in words for who runs the server or uses it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from natkit.errors import AuthenticationFailed, NatkitError, NetworkUnreachable
from natkit.machine import Seconds
from natkit.turn.client_auth import Login
from natkit.turn.client_events import Cause, Failure
from natkit.turn.credentials import rest_expiry
from natkit.turn.forwarding import Transport
from natkit.wire import TransportAddress


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not work.

    Attributes:
        what:      what happened, one sentence.
        mend:      what to do about it.
        exit_code: the one of the error class that it belongs to.
    """

    what: str
    mend: str
    exit_code: int = NatkitError.exit_code


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave to log in with.

    Attributes:
        login:       None: nothing.
        from_secret: the login was minted here from a secret.
        unix_time:   seconds, to tell an expired name.
    """

    login: Login | None
    from_secret: bool
    unix_time: Seconds


_REFUSALS = {
    300: (
        "the server sends us to another one, which could not be used",
        "Ask the server's owner for the address of a server that takes calls",
    ),
    400: (
        "the server did not understand the request",
        "Is it a TURN server, and not a mere STUN server? Its log says what it missed",
    ),
    403: (
        "the server does not let this user, or this address of ours, relay",
        "Its owner has to allow it: see the server's lists of users and networks",
    ),
    405: (
        "this is a STUN server that does not relay",
        "Turn relaying on (coturn: leave out stun-only), or ask another server",
    ),
    420: (
        "the server does not know an attribute of our request",
        "Update the server: it is older than what RFC 5766 asked for in 2010",
    ),
    437: (
        "the server has allocations for the ports that we tried, left over from before",
        "Wait ten minutes. If it comes back, something between rewrites ports: see natkit probe",
    ),
    438: (
        "the server calls every nonce stale that it has just handed out",
        "Does our address change from packet to packet (two uplinks, a large NAT)? Or are there "
        "several servers behind one name, that do not share the key of their nonces?",
    ),
    440: (
        "the server has no relayed address of the IP version that was asked for",
        "Give the server an address of that version to relay from",
    ),
    441: (
        "the allocation belongs to another user",
        "Something rewrites ports on the way, or two users share one: see natkit probe",
    ),
    442: (
        "the server does not relay UDP",
        "Turn UDP relaying on (coturn: leave out no-udp-relay)",
    ),
    443: (
        "the relayed address is of another IP version than the peer",
        "Ask for an address of that version",
    ),
    486: (
        "this user has as many allocations as it may",
        "Wait ten minutes for old ones to lapse, or raise the quota (natkit: --user-quota; "
        "coturn: user-quota)",
    ),
    508: (
        "the server has no relay port left, or takes no more users",
        "Widen the relay ports (natkit: --relay-ports; coturn: min-port, max-port), and look "
        "whether the relay address can be bound there",
    ),
}


def allocation_problem(failure: Failure, given: Given, transport: Transport) -> Problem:
    """Say why there is no allocation."""
    match failure.cause:
        case Cause.SILENT:
            return _silence(transport)
        case Cause.UNREACHABLE:
            what = f"nobody listens on that port over {transport.value}"
            mend = "Is the server running, and is this its port (3478, with TLS 5349)?"
            return Problem(what, mend, NetworkUnreachable.exit_code)
        case Cause.DISCONNECTED:
            what = f"the connection ended before the answer ({failure.reason})"
            mend = (
                "Is it a TURN server? A proxy, or TLS where plain TCP is spoken, ends it like this"
            )
            return Problem(what, mend, NetworkUnreachable.exit_code)
        case Cause.UNUSABLE:
            why = failure.reason
            if failure.code is not None:
                why = f"its {failure.code} bears no realm, no nonce, or no hash that natkit knows"
            mend = "Update the server, or set its realm (coturn: realm=example.org)"
            return Problem(f"the server's answer is of no use: {why}", mend)
        case Cause.REFUSED if failure.code != 401:
            code = failure.code or 0
            what, mend = _REFUSALS.get(
                code, ("the server refused", f"Look for {code} in the server's log")
            )
            said = f' ("{failure.reason}")' if failure.reason else ""
            return Problem(f"{code}{said}: {what}", mend)
        case _:
            what, mend = _login_problem(failure, given)
            return Problem(what, mend, AuthenticationFailed.exit_code)


def _silence(transport: Transport) -> Problem:
    mend = "Look whether the server runs, and what a firewall there or here does to its port"
    if transport is Transport.UDP:
        mend = "UDP is blocked on the way, or the server does not listen on it. " + mend
    return Problem(f"no answer came over {transport.value}", mend, NetworkUnreachable.exit_code)


def _login_problem(failure: Failure, given: Given) -> tuple[str, str]:
    """Say which part of the login is wrong, as far as can be told from here."""
    login = given.login
    if failure.cause is Cause.NO_LOGIN or login is None:
        return (
            f"401: the server (realm {failure.realm or 'unknown'}) wants a user name and a password"
            if failure.realm
            else "401: the server wants a user name and a password",
            "Give --username and --password, or --secret",
        )
    if failure.cause is Cause.UNPROVED:
        return (
            "the answers are not signed with this password",
            "Somebody on the way answers in the server's place, or it holds another password",
        )
    if failure.cause is Cause.BID_DOWN:
        return (
            "the list of password algorithms is missing from an answer that announces it",
            "Somebody on the way changes answers to make us use a weak hash; use TLS",
        )
    realm = f"realm {failure.realm}"
    if given.from_secret:
        return (
            f"401: the server ({realm}) refuses what was made from this secret",
            "It holds another secret (natkit: --secret; coturn: use-auth-secret and "
            "static-auth-secret), has static users instead, or its clock is ahead: compare them",
        )
    return _typed_login_problem(login, realm, given.unix_time)


def _typed_login_problem(login: Login, realm: str, unix_time: Seconds) -> tuple[str, str]:
    expiry = rest_expiry(login.username)
    if expiry is not None and expiry <= unix_time:
        return (
            f"401: the user name expired {unix_time - expiry:.0f} s ago, by the clock here",
            "Fetch a fresh one from the service that hands them out",
        )
    for name, text in (("user name", login.username), ("password", login.password)):
        if text != text.strip():
            return (f"401: the {name} begins or ends with a space", "Leave the space out")
        if "%3" in text or "%2" in text:
            return (f"401: the {name} is URL-encoded (%..)", "Decode it first")
    if expiry is not None:
        return (
            f"401: the server ({realm}) refuses the password of this time-limited name",
            "The name is good until later, so the password is wrong, or was made with another "
            "secret than the server has",
        )
    return (
        f"401: the server ({realm}) does not know this user, or the password is wrong",
        "It tells both alike, its log tells them apart. Is the user in that realm? A time-limited "
        "name looks like 1767225600:name; for a shared secret use --secret",
    )


def connect_problem(error: NatkitError, transport: Transport, name: str) -> Problem:
    """Say why there is no connection."""
    text = f"{error.what}: {error.why}" if error.why else error.what
    if transport is Transport.TLS:
        for sign, what, mend in _CERTIFICATE:
            if sign in text:
                return Problem(what.format(name=name), mend, NetworkUnreachable.exit_code)
    if "no answer in" in text or "does not answer" in text:
        mend = "A firewall drops what goes to that port, there or here"
    elif "refused" in text or "Connect call failed" in text:
        mend = "Nobody listens there: is the server running, with this transport on this port?"
    elif transport is Transport.TLS:
        mend = "Does the port speak TLS? Plain TURN over TCP is turn:HOST?transport=tcp"
    else:
        mend = "Look whether there is a route to the server"
    return Problem(text, mend, NetworkUnreachable.exit_code)


_CERTIFICATE = (
    (
        "mismatch",
        "the certificate is for another name than {name}",
        "Use a name that is in the certificate, or get one for this name; browsers refuse it too",
    ),
    (
        "not valid for",
        "the certificate is for another name than {name}",
        "Use a name that is in the certificate, or get one for this name; browsers refuse it too",
    ),
    (
        "has expired",
        "the certificate has expired",
        "Renew it, and have the server read it again (natkit does by itself, coturn on SIGUSR2)",
    ),
    (
        "self-signed",
        "the certificate is signed by nobody that is trusted here",
        "Serve the whole chain (fullchain.pem), or give --ca-file for an authority of your own",
    ),
    (
        "self signed",
        "the certificate is signed by nobody that is trusted here",
        "Serve the whole chain (fullchain.pem), or give --ca-file for an authority of your own",
    ),
    (
        "unable to get local issuer",
        "the chain of the certificate is not complete, or its authority is not trusted here",
        "Serve the whole chain (fullchain.pem), or give --ca-file for an authority of your own",
    ),
)


def is_public(ip: str) -> bool:
    """Tell whether `ip` can be reached from anywhere."""
    return ipaddress.ip_address(ip.partition("%")[0]).is_global


def relayed_problem(relayed: TransportAddress, server: TransportAddress) -> Problem | None:
    """Say what is wrong with a relayed address; None: nothing, as far as it shows."""
    if ipaddress.ip_address(relayed.ip).is_unspecified:
        what = f"the relayed address {relayed} is no address at all"
        return Problem(what, _ADVERTISE.format(ip="0.0.0.0"))
    if is_public(server.ip) and not is_public(relayed.ip):
        what = f"the relayed address {relayed} is private: peers elsewhere cannot reach it"
        return Problem(what, _ADVERTISE.format(ip=relayed.ip))
    return None


_ADVERTISE = (
    "Tell the server its public address (natkit: --relay-address {ip}=PUBLIC; "
    "coturn: external-ip=PUBLIC/{ip})"
)


def permission_problem(failure: Failure, ip: str, *, own: bool) -> Problem:
    """Say why peers at `ip` are not let in; `own`: it is the server's relayed address."""
    if failure.code != 403:
        return Problem(f"the permission for {ip} failed: {failure}", "Look into the server's log")
    if own:
        return Problem(
            f"403: the server does not relay to its own relayed address {ip}",
            "Two clients that both need the relay cannot talk. Allow that address (natkit: "
            "--allow-peer; coturn: allowed-peer-ip, on loopback allow-loopback-peers)",
        )
    return Problem(
        f"403: the server does not relay to {ip}, where it sees us",
        "If clients in this network are to be reached, allow it (natkit: --allow-peer; "
        "coturn: allowed-peer-ip)",
    )


def loop_problem(relayed: TransportAddress) -> Problem:
    """Say what it means that nothing came back through the relay from itself."""
    return Problem(
        f"what is relayed to {relayed.ip} does not come back through it",
        "A firewall on the relay ports, or a NAT before the server that does not turn packets "
        "round (hairpinning): two clients that both need the relay cannot talk",
        NetworkUnreachable.exit_code,
    )


def reach_problem(relayed: TransportAddress, *, inward: bool) -> Problem:
    """Say what it means that packets do not get to the relayed address, or not from there."""
    if inward:
        what = f"nothing that is sent from here to {relayed} arrives"
        mend = (
            "Open the server's relay ports for UDP in its firewall and its cloud's security group "
            "(49152-65535 unless set otherwise), or UDP is blocked here"
        )
    else:
        what = f"{relayed} hears us, but nothing that it sends comes back"
        mend = "Let UDP out of the server's relay ports, and in here"
    return Problem(what, mend, NetworkUnreachable.exit_code)
