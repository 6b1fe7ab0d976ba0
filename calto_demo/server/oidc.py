"""Sign-in at an OpenID Connect provider: Google's, or any other that the owner names."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlencode

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from httpx2 import HTTPError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from calto_demo.server.api import services_of
from calto_demo.server.names import LONGEST_NAME, clean_name
from calto_demo.server.refusal import Refused
from calto_demo.server.settings import Provider, is_own_path

_RETURN = "return_to"
_log = logging.getLogger("calto.oidc")


def routes(provider: Provider) -> list[Route]:
    """Return the pages that begin and end a sign-in at `provider`."""
    oauth = OAuth()
    oauth.register(
        name="provider",
        server_metadata_url=provider.issuer.rstrip("/") + "/.well-known/openid-configuration",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
    )
    client: Any = oauth.provider

    async def login(request: Request) -> Response:
        target = request.query_params.get(_RETURN, "/")
        services = services_of(request)
        host = request.headers.get("host", "")
        if not is_own_path(target) and not services.guard.is_ours(target, host):
            raise Refused("bad-origin", "that page may not sign anybody in here")
        request.session[_RETURN] = target
        callback = services.url_of(request) + "/auth/callback"
        try:
            response: Response = await client.authorize_redirect(request, callback)
        except (HTTPError, AuthlibBaseError):
            _log.exception("the provider does not answer")
            return _back(target, error="provider-unreachable")
        return response

    async def callback(request: Request) -> Response:
        target = str(request.session.pop(_RETURN, "/"))
        try:
            claims = (await client.authorize_access_token(request))["userinfo"]
        except (HTTPError, AuthlibBaseError, KeyError) as error:
            _log.warning("a sign-in failed: %s", error)
            return _back(target, error="sign-in-failed")
        services = services_of(request)
        user = await services.people.account(
            str(claims["iss"]), str(claims["sub"]), _name(claims), now=services.clock()
        )
        token, _ = await services.sign_in(user.id, request.headers.get("user-agent", ""))
        return _back(target, token=token)

    return [Route("/login", login), Route("/callback", callback)]


def _back(target: str, **said: str) -> Response:
    """Return to the page, with what is said where no server sees it: behind the #."""
    return RedirectResponse(f"{target.partition('#')[0]}#{urlencode(said)}", 303)


def _name(claims: Any) -> str:
    """Return what to call somebody: what the provider says, as far as it is a name."""
    for key in ("name", "given_name", "preferred_username", "nickname"):
        try:
            return clean_name(str(claims[key])[:LONGEST_NAME])
        except (KeyError, Refused):
            continue
    return "somebody"
