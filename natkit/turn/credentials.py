"""Who may relay: static users, and the time-limited names of the TURN REST API.

A REST name is "expiry:user" (or the expiry alone), expiry being Unix time in seconds, and its
password the base64 of HMAC-SHA1 over the name, keyed with a secret that a web server shares with
this one (draft-uberti-behave-turn-rest-00 §2.2). Several secrets may be good at once, so that one
can be exchanged for another.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from natkit.machine import Seconds
from natkit.wire import user_hash


def prepared(text: str) -> str:
    """Return a name or password as OpaqueString has it: so all clients send the same bytes.

    RFC: 8265 §4.2.2: spaces beyond ASCII become U+0020, the rest is NFC.
    """
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
    return unicodedata.normalize("NFC", spaced)


def rest_password(secret: str, username: str) -> str:
    """Return the password that goes with a REST name."""
    return b64encode(hmac.digest(secret.encode(), username.encode(), hashlib.sha1)).decode()


def rest_username(user: str, *, expires: int) -> str:
    """Return the REST name of `user` (which may be empty) until Unix time `expires`."""
    return f"{expires}:{user}" if user else str(expires)


def rest_expiry(username: str) -> int | None:
    """Return until what Unix time a REST name is good; None: it is no REST name."""
    stamp = username.partition(":")[0]
    # Twelve digits last until the year 33658; int() of longer ones costs more and more.
    return int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 else None


class Candidates(NamedTuple):
    """What is known about somebody who says who they are.

    Attributes:
        passwords: any of them may be theirs; empty: `why` says why there is none.
        why:       for the log.
        elsewhere: true: ask whoever knows users besides (LookUpUser).
    """

    passwords: tuple[str, ...]
    why: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """The accounts of one server.

    Attributes:
        users:     passwords by name; both are prepared on the way in.
        secrets:   shared secrets of the REST API, any of which is good.
        elsewhere: somebody else knows more users: the machine asks with LookUpUser.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    elsewhere: bool = False

    def __post_init__(self) -> None:
        users = {prepared(name): prepared(password) for name, password in self.users.items()}
        object.__setattr__(self, "users", users)

    def __repr__(self) -> str:
        return f"<Credentials of {len(self.users)} users and {len(self.secrets)} secrets>"

    @property
    def anonymity(self) -> bool:
        """True when a USERHASH can always be traced to its user: not of names made elsewhere."""
        return not self.secrets and not self.elsewhere

    def account(self, username: str) -> str:
        """Return who pays: a REST name without its expiry, which changes with every call."""
        if self.secrets and username not in self.users and rest_expiry(username) is not None:
            return username.partition(":")[2]
        return username

    def hashes(self, realm: str) -> dict[bytes, str]:
        """Return the static users by their USERHASH in `realm`."""
        return {user_hash(name, realm): name for name in self.users}

    def candidates(self, username: str, *, unix_time: Seconds, ongoing: bool = False) -> Candidates:
        """Return what passwords `username` may have at `unix_time`.

        Args: ongoing: they go on with what they have: that a REST name expired is no matter.
        """
        if username in self.users:
            return Candidates((self.users[username],))
        expiry = rest_expiry(username) if self.secrets else None
        if expiry is None:
            return Candidates((), "unknown user", self.elsewhere)
        if unix_time >= expiry and not ongoing:
            return Candidates((), f"expired {unix_time - expiry:.0f} s ago")
        return Candidates(tuple(rest_password(secret, username) for secret in self.secrets))
