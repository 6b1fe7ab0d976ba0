"""The web application: every page of the server, and what is around them."""

from __future__ import annotations

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from calto_demo.server import api, peerjs, socket
from calto_demo.server.guard import refusal
from calto_demo.server.refusal import Refused
from calto_demo.server.services import Services, derived

POLICY = (
    "default-src 'self'; connect-src *; img-src 'self' data:; media-src 'self' blob: data:;"
    " style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
"""What the app's page may do. It may connect anywhere: its server can be elsewhere."""

_UNBUILT = """<!doctype html><meta charset="utf-8"><title>Calto</title>
<h1>Calto's server runs</h1>
<p>The web app is not here. Build it:
<code>cd calto_demo/web &amp;&amp; npm ci &amp;&amp; npm run build</code></p>
"""


def make_app(services: Services) -> Starlette:
    """Return the application of a server."""
    settings = services.settings
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(settings.origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
        max_age=3600,
    )
    routes: list[BaseRoute] = [
        Mount("/api", routes=api.ROUTES, middleware=[cors]),
        peerjs.mount(),
        Route("/healthz", _healthy),
        Route("/readyz", _ready),
        Route("/metrics", _metrics),
    ]
    if settings.provider is not None:
        routes.append(_sign_in(services))
    else:
        routes.append(Mount("/auth", routes=[]))  # nothing is there, not even a screen of the app
    routes.append(_pages(services))
    app = Pages(
        routes=routes,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.state.services = services
    return app


class Pages(Starlette):
    """All that is served. Clients' sockets do not pass the layers that are around pages: they stay
    for hours, by the thousand, and each layer keeps a kilobyte or so of every one of them.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one socket."""
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            await socket.talk(self.state.services, WebSocket(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)


def _sign_in(services: Services) -> Mount:
    from calto_demo.server import oidc  # takes a third of a second, and few need it

    assert services.settings.provider is not None  # noqa: S101 - the caller looked
    session = Middleware(
        SessionMiddleware,
        secret_key=derived(services.secret, "sign-in"),
        session_cookie="calto_sign_in",
        max_age=600,
        path="/auth",
        https_only=services.settings.scheme == "https",
    )
    return Mount("/auth", routes=oidc.routes(services.settings.provider), middleware=[session])


class WebApp(StaticFiles):
    """The built web app: one page, at "/"; its 404.html is what else there is."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        # Built files have a hash of what is in them in their names; the page has not.
        lasting = path.startswith("assets/")
        response.headers["Cache-Control"] = "max-age=31536000, immutable" if lasting else "no-cache"
        response.headers.update(_SAFE)
        return response


_SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), speaker-selection=(self), camera=()",
}


def _pages(services: Services) -> BaseRoute:
    static = services.settings.static
    if (static / "index.html").is_file():
        return Mount("/", WebApp(directory=static, html=True))

    async def unbuilt(_request: Request) -> Response:
        return Response(_UNBUILT, media_type="text/html")

    return Route("/", unbuilt)


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    if api.services_of(request).switchboard.draining:
        raise Refused("draining", "this server is about to stop")
    return PlainTextResponse("ok\n")


async def _metrics(request: Request) -> Response:
    return Response(api.services_of(request).metrics.text(), media_type="text/plain; version=0.0.4")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - Starlette hands over no other
    api.services_of(request).metrics.refused.labels(error.code).inc()
    return refusal(error)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette hands over no other
    code = "not-found" if error.status_code == HTTPStatus.NOT_FOUND else "bad-request"
    answer = refusal(Refused(code, f"{error.detail}"))
    answer.status_code = error.status_code
    return answer


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer whoever went away amid their request: nobody hears it, and nothing is wrong here."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _failed(_request: Request, _error: Exception) -> Response:
    return refusal(Refused("failed", "something is wrong with the server", "Its log says what"))
