"""Who may: tokens, origins, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import HTTPConnection
from starlette.responses import Response

from calto_demo.server.bucket import Buckets
from calto_demo.server.frames import write
from calto_demo.server.people import People, User
from calto_demo.server.refusal import Refused
from calto_demo.server.settings import Settings, origin_of
from calto_demo.server.tokens import BadToken, Tokens

RINGS_A_MINUTE = 10


class Rate:
    """How often each of many may do something. Args: clock: monotonic seconds."""

    def __init__(self, a_minute: int, clock: Callable[[], float]) -> None:
        self._buckets, self._clock = Buckets(a_minute / 60, a_minute), clock

    def check(self, who: str, message: str) -> None:
        """Count one. Raises: Refused: it is too many."""
        bucket, now = self._buckets.of(who), self._clock()
        if not bucket.take(now=now):
            wait = bucket.wait(now=now)
            raise Refused("too-many", message, f"Wait {wait:.0f} s", wait=wait)


class Guard:
    """Lets in who has a token of this server. Args: clock: Unix seconds."""

    def __init__(
        self, settings: Settings, tokens: Tokens, people: People, clock: Callable[[], float]
    ) -> None:
        self._tokens, self._people, self._clock = tokens, people, clock
        self._origins = set(settings.origins)
        if settings.external_url is not None:
            self._origins.add(origin_of(settings.external_url) or "")

    async def user(self, token: str) -> tuple[User, str]:
        """Return whose token it is, and of which device. Raises: Refused."""
        try:
            identity = self._tokens.read(token, now=self._clock())
        except BadToken as error:
            raise Refused(error.code, str(error), "Sign in again") from None
        user = await self._people.on_device(identity.user, identity.device)
        if user is None:
            raise Refused("signed-out", "this device has signed out", "Sign in again")
        return user, identity.device

    async def caller(self, request: HTTPConnection) -> tuple[User, str]:
        """Return who makes a request, and on which device. Raises: Refused."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            hint = "Sign in: POST /api/guest, then send Authorization: Bearer TOKEN"
            raise Refused("no-token", "this needs a token", hint)
        return await self.user(token.strip())

    def origin(self, headers: Mapping[str, str]) -> None:
        """Let in pages of this server and of allowed origins, and programs, which name none.

        Raises: Refused: it is another site's page.
        """
        origin = headers.get("origin")
        if origin is not None and not self.is_ours(origin, headers.get("host", "")):
            hint = f"Start the server with --origin {origin} if that page is yours"
            raise Refused("bad-origin", "pages of that origin may not use this server", hint)

    def is_ours(self, url: str, host: str) -> bool:
        """Tell whether a page is this server's (which was asked for as `host`) or allowed."""
        origin = origin_of(url)
        own = {origin_of(f"{scheme}://{host}") for scheme in ("http", "https")}
        return origin is not None and origin in self._origins | own


def refusal(error: Refused) -> Response:
    """Return the answer over HTTP."""
    headers = {} if error.wait is None else {"Retry-After": str(int(error.wait) + 1)}
    if error.code == "too-slow":
        headers["Connection"] = "close"  # the rest of the body is not waited for, RFC 9110 §15.5.9
    body = write({"error": error.said()})
    return Response(body, error.status, headers, "application/json")
