"""What is looked up and kept over HTTP (docs/calto-protocol.md, first half)."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import natkit
from calto_demo.server.call import Call
from calto_demo.server.frames import CallId, UserId, write
from calto_demo.server.ledger import NoSuchCall
from calto_demo.server.names import clean_name
from calto_demo.server.people import NoSuchUser, User
from calto_demo.server.records import record
from calto_demo.server.refusal import Refused
from calto_demo.server.requests import Named, PathReport, body_of, plain
from calto_demo.server.services import ECHO, Services

PROTOCOL = 1
MOST_CALLS = 100
REPORT_TIME = 600.0
"""Seconds after a call in which a side may still say which way it went."""


def services_of(request: Request) -> Services:
    """Return the parts of the server that a request came to."""
    services: Services = request.app.state.services
    return services


def answer(value: Any, status: int = 200) -> Response:
    """Return JSON."""
    return Response(write(value), status, media_type="application/json")


async def server(request: Request) -> Response:
    """Say what this server is, and how one signs in."""
    settings = services_of(request).settings
    provider = settings.provider
    oidc = None if provider is None else {"name": provider.name, "url": "/auth/login"}
    return answer(
        {
            "name": "Calto",
            "version": natkit.__version__,
            "protocol": PROTOCOL,
            "sign_in": {"guest": settings.guests, "oidc": oidc},
            "echo": ECHO,
        }
    )


async def guest(request: Request) -> Response:
    """Sign somebody in by a name alone."""
    services = services_of(request)
    if not services.settings.guests:
        raise Refused("not-found", "guests cannot sign in here", "Sign in with an account")
    services.guests.check(request.client.host if request.client else "", "too many sign in")
    name = clean_name((await body_of(request, Named)).name)
    user = await services.people.add(name, "guest", now=services.clock())
    return answer(await _signed_in(request, user), 201)


async def _signed_in(request: Request, user: User) -> dict[str, Any]:
    agent = request.headers.get("user-agent", "")
    token, expires = await services_of(request).sign_in(user.id, agent)
    return {"token": token, "expires_at": expires, "me": user._asdict()}


async def me(request: Request) -> Response:
    """Return who the token is for; PATCH gives them another name."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    if request.method == "PATCH":
        name = clean_name((await body_of(request, Named)).name)
        user = await services.people.rename(user.id, name)
        services.presence.announce(user.id)
    return answer(user._asdict())


async def fresh_token(request: Request) -> Response:
    """Return a token that lasts longer, for the same device."""
    services = services_of(request)
    user, device = await services.guard.caller(request)
    token, expires = services.renew(user.id, device)
    return answer({"token": token, "expires_at": expires, "me": user._asdict()})


async def sign_out(request: Request) -> Response:
    """End the tokens and sockets of this device."""
    services = services_of(request)
    user, device = await services.guard.caller(request)
    await services.people.sign_out(device, now=services.clock())
    await services.hub.sign_out(user.id, device)
    return Response(status_code=204)


async def people(request: Request) -> Response:
    """Return whom somebody sees."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    named = request.query_params.get("q", "")[:100]
    return answer({"people": await services.presence.listed(user.id, named)})


async def contact(request: Request) -> Response:
    """Remember or forget somebody."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    other = _param(request.path_params["user"], UserId, "no-such-user")
    try:
        if request.method == "PUT":
            if other == user.id:
                raise Refused("bad-request", "nobody is a contact of their own")
            await services.people.add_contact(user.id, other)
        else:
            await services.people.remove_contact(user.id, other)
    except NoSuchUser:
        raise Refused("no-such-user", "there is nobody of that id") from None
    return Response(status_code=204)


async def calls(request: Request) -> Response:
    """Return somebody's calls, the newest first."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    query = request.query_params
    try:
        before = float(query["before"]) if "before" in query else None
        limit = int(query.get("limit", "50"))
    except ValueError:
        raise Refused("bad-request", "before and limit are numbers") from None
    if not 1 <= limit <= MOST_CALLS or not math.isfinite(before or 0.0):
        hint = f"before is Unix seconds, limit is 1 to {MOST_CALLS}"
        raise Refused("bad-request", "there are no such calls", hint)
    found = await services.ledger.history(user.id, before=before, limit=limit)
    return answer({"calls": await _records(services, user, found)})


async def call(request: Request) -> Response:
    """Return one of them."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    [found] = await _records(services, user, [await _call(request, user)])
    return answer(found)


async def _records(services: Services, user: User, found: list[Call]) -> list[dict[str, Any]]:
    paths = await services.ledger.paths(call.id for call in found)
    others = {call.other(user.id) for call in found}
    peers = {peer.id: peer for peer, _ in await services.people.some(others)}
    return [record(call, user.id, peers[call.other(user.id)], paths) for call in found]


async def _call(request: Request, user: User) -> Call:
    """Return the call that a request is about. Raises: Refused: the user was not in it."""
    call_id = _param(request.path_params["call"], CallId, "no-such-call")
    try:
        found = await services_of(request).ledger.get(call_id)
    except NoSuchCall:
        found = None
    if found is None or user.id not in (found.caller, found.callee):
        raise Refused("no-such-call", "there is no such call")
    return found


async def path(request: Request) -> Response:
    """Keep which way a call went, as one side saw it, and say in words why."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    report = plain(await body_of(request, PathReport))
    found = await _call(request, user)
    if found.ended_at is not None and services.clock() > found.ended_at + REPORT_TIME:
        raise Refused("wrong-state", "the call ended too long ago")
    words = await services.keep_path(found, user.id, report)
    return answer({"explanation": words})


async def ice(request: Request) -> Response:
    """Return STUN and TURN servers, with a login for this user and this call."""
    services = services_of(request)
    user, _ = await services.guard.caller(request)
    call_id = request.query_params.get("call", "")
    if call_id:
        call_id = _param(call_id, CallId, "bad-request")
    return answer(services.ice.mint(user.id, call_id or "check", services.host_of(request)))


def _param(value: str, shape: Any, code: str) -> str:
    """Return part of a URL. Raises: Refused: it has another shape."""
    try:
        return str(msgspec.convert(value, shape))
    except msgspec.ValidationError:
        raise Refused(code, "there is nothing of that id") from None


ROUTES = [
    Route("/server", server),
    Route("/guest", guest, methods=["POST"]),
    Route("/me", me, methods=["GET", "PATCH"]),
    Route("/token", fresh_token, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/people", people),
    Route("/contacts/{user}", contact, methods=["PUT", "DELETE"]),
    Route("/calls", calls),
    Route("/calls/{call}", call),
    Route("/calls/{call}/path", path, methods=["POST"]),
    Route("/ice", ice),
]
