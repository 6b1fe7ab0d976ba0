"""The ICE agent of one data stream (RFC 8445, 8838, 7675).

    NEW -> CHECKING -> CONNECTED -> COMPLETED <-> DISCONNECTED -> FAILED; restart: NEW

Rules of the file:
1. The contract of a machine, with one more word: `at`, the endpoint that bytes came in on.
2. What state it is in follows from the session and the consents, and is worked out in `_review`
   after every input; nobody sets it elsewhere.
3. Until a restart has found a path, data takes the old one, and the peer may ask consent for it.

Begin with `add_local` (again and again, then `end_of_local`); tell the peer's side with
`set_remote`, `add_remote`, `end_of_remote`, before or after `start`.
"""

from __future__ import annotations

from collections.abc import Callable

from natkit.errors import MalformedMessage, UsageError
from natkit.ice import messages
from natkit.ice.candidate import Candidate, Local
from natkit.ice.consent import Consent
from natkit.ice.credentials import Credentials
from natkit.ice.events import (
    AgentEvent,
    CandidatesFreed,
    PairSelected,
    RoleSwitched,
    State,
    StateChanged,
)
from natkit.ice.messages import ROLE_CONFLICT, Outgoing
from natkit.ice.pair import Pair, Path
from natkit.ice.role import Role
from natkit.ice.session import Session
from natkit.ice.settings import DEFAULTS, Settings
from natkit.machine import Instant, soonest
from natkit.network import IcmpError
from natkit.wire import Message, MessageClass, Method, TransportAddress

NO_PAIR = "no pair of candidates works"

_MOST_VOUCHED = 256
"""Addresses of the peer that data is taken from; the oldest go first."""


class IceAgent:
    """The machine.

    Args:
        controlling: the role to begin with.
        randomness:  returns that many unpredictable bytes.
        components:  how many, 1 .. 256.
        credentials: None: draw some.
        lite:        only answer checks (RFC 8445 §2.5); for hosts that everybody can reach.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        randomness: Callable[[int], bytes],
        components: int = 1,
        credentials: Credentials | None = None,
        lite: bool = False,
        settings: Settings = DEFAULTS,
    ) -> None:
        self.role = Role(randomness, controlling=controlling)
        self.settings = settings
        self.state = State.NEW
        self.reason = ""
        self.randomness, self._components, self._lite = randomness, components, lite
        self.session = self._new_session(credentials)
        self._previous: Session | None = None
        self._consents: dict[int, Consent] = {}
        self._selected: dict[int, PairSelected] = {}
        self._vouched: dict[TransportAddress, None] = {}
        self._frees_at: Instant | None = None
        self._outgoing: list[Outgoing] = []
        self._events: list[AgentEvent] = []

    # Commands.

    def set_remote(self, peer: Credentials, *, lite: bool = False, now: Instant) -> None:
        """Take the peer's credentials, and whether it is lite."""
        self.session.peer, self.session.peer_is_lite = peer, lite
        if lite and not self._lite and not self.role.controlling:  # RFC 8445 §6.1.1
            self._switch_role(now)
        self.session.tick(now=now)
        self._review(now)

    def add_local(self, local: Local, *, now: Instant) -> None:
        """Take a candidate of ours, at any time."""
        self.session.add_local(local, now=now)
        self._review(now)

    def end_of_local(self, *, now: Instant) -> None:
        """Take that gathering is over."""
        self.session.local_done = True
        self.session.tick(now=now)
        self._review(now)

    def add_remote(
        self, candidate: Candidate, address: TransportAddress | None = None, *, now: Instant
    ) -> None:
        """Take a candidate of the peer's, at any time.

        Args:   address: what its name was resolved to.
        Raises: UsageError: the host is a name, and no address was given.
        """
        where = address or candidate.address
        if where is None:
            raise UsageError(f"{candidate.host} is a name: resolve it first")
        self.session.add_remote(candidate, where, now=now)
        self._review(now)

    def end_of_remote(self, *, now: Instant) -> None:
        """Take that the peer has no more candidates."""
        self.session.end_of_remote(now=now)
        self._review(now)

    def start(self, *, now: Instant) -> None:
        """Begin to check. Raises: UsageError: the peer's credentials are not known."""
        if self.session.peer is None and not self._lite:
            raise UsageError("Remote username or password is missing")
        if self.session.started_at is None:
            self.session.start(now=now)
            self._review(now)

    def restart(self, credentials: Credentials | None = None, *, now: Instant) -> None:
        """Begin another session, with no candidates yet (RFC 8445 §9).

        Args: credentials: None: draw some; either way they must go to the peer.
        """
        self._previous, self.session = self.session, self._new_session(credentials)
        self._frees_at = None
        self._review(now)

    def force(self, pair: Pair, *, now: Instant) -> None:
        """Use a pair without checks, for a peer that does not speak ICE; consent is not asked."""
        self.session.started_at = now
        self.session.force(pair, now=now)
        self._review(now)

    # What data needs.

    def path(self, component: int, *, now: Instant) -> Path:
        """Return the base to send from and the address to send to.

        Raises: ConnectionError: there is no path, or the peer no longer consents.
        """
        consent = self._consents.get(component)
        if consent is None or not consent.holds(now=now):
            raise ConnectionError("Cannot send data, not connected")
        return consent.pair.path

    def path_of_any(self) -> Pair | None:
        """Return the path of some component, also one that may no longer be sent on."""
        return next((consent.pair for consent in self._consents.values()), None)

    def accepts(self, source: TransportAddress, *, at: TransportAddress, now: Instant) -> bool:
        """Take that data came at the base `at`; True: from somebody who knows our password."""
        if source not in self._vouched:
            return False
        for consent in self._consents.values():
            # On another path it is no sign that this one still works.
            if consent.pair.path[:2] == (at, source):
                consent.heard_at = now
        return True

    # The contract.

    def receive(
        self,
        data: bytes,
        source: TransportAddress,
        *,
        at: TransportAddress,
        tcp: bool = False,
        now: Instant,
    ) -> None:
        """Take a datagram that came in at the base `at`. What is no check, or no answer to one, is
        ignored.

        Args: tcp: it came over a TCP connection, RFC 4571's frame taken off.
        """
        try:
            message = Message.decode(data)
        except MalformedMessage:
            return
        if message.method is not Method.BINDING:
            return
        path = Path(at, source, tcp)
        match message.message_class:
            case MessageClass.REQUEST:
                self._asked(message, path, now)
            case MessageClass.SUCCESS | MessageClass.ERROR:
                self._answered(message, path, now)
            case MessageClass.INDICATION:  # a keepalive (RFC 8445 §11)
                self.accepts(source, at=at, now=now)
        self._review(now)

    def error_received(self, error: IcmpError, *, at: TransportAddress, now: Instant) -> None:
        """Take an ICMP error for something that was sent from `at`."""
        self.session.icmp(error, at, now=now)
        self._review(now)

    def broken(self, path: Path, why: str, *, now: Instant) -> None:
        """Take that a TCP connection could not be made, or has ended; one that has ended is not
        made again: that takes a restart.
        """
        using = [c for c, consent in self._consents.items() if consent.pair.path == path]
        for component in using:
            if self._consents[component].pair.nominated:
                self._consents[component].broken(why, now=now)
            else:
                del self._consents[component]  # another pair may still work
        if not using or using[0] not in self._consents:
            self.session.broken(path, why, now=now)
        self._review(now)

    def tick(self, *, now: Instant) -> None:
        """Do what is due."""
        next_at = self.session.deadline()
        if self.state is not State.FAILED and next_at is not None and next_at <= now:
            self.session.tick(now=now)
        for consent in self._consents.values():
            if (due := consent.tick(self.role, now=now)) is not None:
                self._outgoing.append(due)
        if self._frees_at is not None and self._frees_at <= now and self.session.local_done:
            self._free()
        self._review(now)

    def deadline(self) -> Instant | None:
        """Return when `tick` has something to do."""
        if self.state is State.FAILED:
            return None
        due = [consent.next_at for consent in self._consents.values()]
        current = self._current_consents()
        due += [consent.expires_at for consent in current]
        if current and self.state is not State.DISCONNECTED:
            due.append(self._silent_at(current))
        if self.session.local_done:
            due.append(self._frees_at)
        return soonest((*due, self.session.deadline()))

    def transmits(self) -> list[Outgoing]:
        """Hand over what is to be sent, each from its base."""
        out = [*self._outgoing, *self.session.checks.outgoing]
        self._outgoing, self.session.checks.outgoing = [], []
        return out

    def events(self) -> list[AgentEvent]:
        """Hand over what has happened."""
        out, self._events = self._events, []
        return out

    # What came in.

    def _session_of(self, ufrag: str | None) -> Session | None:
        for session in (self.session, self._previous):
            if session is not None and session.own.ufrag == ufrag:
                return session
        return None

    def _asked(self, request: Message, path: Path, now: Instant) -> None:
        """Answer a check of the peer's, and let it have its effects (RFC 8445 §7.3)."""
        at, source, tcp = path
        session = self._session_of(messages.addressee(request))
        own = None if session is None else session.own
        code = messages.fault_in(request, own)
        if code is None and self.role.conflicts(request):
            if self.role.yields_to(request):
                self._switch_role(now)
            else:
                code = ROLE_CONFLICT
        if session is None or own is None or code is not None:
            refusal = messages.refusal(request, code or 0, own)
            self._outgoing.append(Outgoing(refusal, source, at, tcp))
            return
        self._outgoing.append(Outgoing(messages.success(request, source, own), source, at, tcp))
        self._vouch(source)
        self.accepts(source, at=at, now=now)
        if session is self.session:
            session.checked(messages.read(request, source, at, tcp=tcp), now=now)

    def _answered(self, message: Message, path: Path, now: Instant) -> None:
        was = self.role.controlling
        for consent in self._consents.values():
            if consent.answered(message, path, now=now):
                return
        self.session.answered(message, path, now=now)
        if self.role.controlling is not was:
            self._events.append(RoleSwitched(self.role.controlling))

    # What follows.

    def _new_session(self, credentials: Credentials | None) -> Session:
        own = credentials or Credentials.fresh(self.randomness)
        return Session(
            own, self.role, self.randomness, self.settings, self._components, lite=self._lite
        )

    def _switch_role(self, now: Instant) -> None:
        self.role.switch()
        self.session.pairs.reorder(controlling=self.role.controlling)
        self.session.tick(now=now)
        self._events.append(RoleSwitched(self.role.controlling))

    def _review(self, now: Instant) -> None:
        """Work out which pairs carry data, and how the connection is doing."""
        for consent in self._current_consents():
            if now >= self._silent_at([consent]):
                self.session.doubt(consent.pair, since=consent.heard_at, now=now)
        for component in self.session.components:
            pair = self.session.usable(component)
            if pair is not None:
                self._use(component, pair, now)
        state, reason = self._judge(now)
        if state is not self.state:
            self.state, self.reason = state, reason
            self._events.append(StateChanged(state, reason))
            if state is State.COMPLETED and not self.session.candidates.are_freed:
                self._frees_at = now + self.settings.freeing

    def _free(self) -> None:
        """Give up the candidates that were not chosen (RFC 8445 §8.3)."""
        self._frees_at = None
        chosen = filter(None, map(self.session.selected, self.session.components))
        paths = frozenset(pair.path for pair in chosen)
        self.session.candidates.keep(paths)
        self._events.append(CandidatesFreed(paths))

    def _use(self, component: int, pair: Pair, now: Instant) -> None:
        consent = self._consents.get(component)
        if consent is None or consent.pair is not pair:
            own, peer = self.session.own, self.session.asks_consent
            self._vouch(pair.remote.address)
            self._consents[component] = Consent(pair, own, peer, self.randomness, now=now)
        seen_as = (pair.seen_as or pair.local).candidate
        selected = PairSelected(component, seen_as, pair.remote.candidate, pair.nominated)
        if selected != self._selected.get(component):
            self._selected[component] = selected
            self._events.append(selected)

    def _vouch(self, source: TransportAddress) -> None:
        """Take data from `source`, which has proved to know our password."""
        self._vouched[source] = None
        if len(self._vouched) > _MOST_VOUCHED:
            del self._vouched[next(iter(self._vouched))]

    def _current_consents(self) -> list[Consent]:
        """Return the consents of this session: those before a restart just run out."""
        own = self.session.own
        return [consent for consent in self._consents.values() if consent.own is own]

    def _silent_at(self, consents: list[Consent]) -> Instant:
        return min(consent.heard_at for consent in consents) + self.settings.silence

    def _judge(self, now: Instant) -> tuple[State, str]:
        """Return the state, and the reason for a bad one."""
        session = self.session
        consents = self._current_consents()
        for consent in consents:
            if not consent.holds(now=now):
                return State.FAILED, consent.ending
        fails_at = session.fails_at()
        if fails_at is not None and fails_at <= now:
            return State.FAILED, "; ".join(filter(None, (NO_PAIR, session.suspicion)))
        if consents and now >= self._silent_at(consents):
            silence = f"{self.settings.silence:g} s"
            return State.DISCONNECTED, f"nothing was heard of the peer for {silence}"
        if session.started_at is None:
            return State.NEW, ""
        if all(map(session.selected, session.components)):
            return State.COMPLETED, ""
        # The peer answers checks before it starts; only its own show that it takes data.
        if session.met and all(map(session.usable, session.components)):
            return State.CONNECTED, ""
        return State.CHECKING, ""
