"""Where stock PeerJS clients come: HTTP and WebSocket under /peer/, as peerjs-server has them."""

from __future__ import annotations

import contextlib
import uuid

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from calto_demo.server.bucket import Bucket
from calto_demo.server.frames import write
from calto_demo.server.realm import BAD_KEY, KEY, LONGEST_ID, NO_ID
from calto_demo.server.refusal import Refused
from calto_demo.server.services import Services
from calto_demo.server.socket import FRAMES_A_SECOND, SocketLine

GREETING = {
    "name": "PeerJS Server",
    "description": "A server side element to broker connections between PeerJS clients.",
    "website": "https://peerjs.com/",
}


def mount() -> Mount:
    """Return the pages. Any origin may use them, as with the stock server: there are no cookies."""
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=".*",
        allow_methods=["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"],
        allow_headers=["*"],
    )
    routes = [
        Route("/", _greeting),
        WebSocketRoute("/peerjs", _talk),
        Route("/{key}/id", _new_id),
        Route("/{key}/peers", _peers),
    ]
    return Mount("/peer", routes=routes, middleware=[cors])


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


async def _greeting(_request: Request) -> Response:
    return JSONResponse(GREETING)


async def _new_id(request: Request) -> Response:
    peer = str(uuid.uuid4())
    while _services(request).realm.is_connected(peer):
        peer = str(uuid.uuid4())
    return Response(peer, media_type="text/html")


async def _peers(_request: Request) -> Response:
    return PlainTextResponse("Unauthorized", 401)


async def _talk(websocket: WebSocket) -> None:
    services = _services(websocket)
    await websocket.accept()
    line = SocketLine(websocket)
    peer, token, key = (websocket.query_params.get(name, "") for name in ("id", "token", "key"))
    refusal = await _refusal(services, peer, token, key)
    if refusal is not None:
        line.send(write(refusal))
        line.close(1000, "")
    elif services.realm.connect(peer, token, line, now=services.monotonic()):
        try:
            await _listen(services, websocket, peer, line)
        finally:
            services.realm.drop(peer, line, now=services.monotonic())
            line.close(1000, "")
    await line.written()


async def _listen(services: Services, websocket: WebSocket, peer: str, line: SocketLine) -> None:
    rate = Bucket(FRAMES_A_SECOND, FRAMES_A_SECOND * 2)
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            data = await websocket.receive_text()
            if rate.take(now=services.monotonic()):
                services.realm.receive(peer, line, data, now=services.monotonic())


async def _refusal(services: Services, peer: str, token: str, key: str) -> dict[str, object] | None:
    """Return what a client is told that does not come in."""
    if not (peer and token and key) or len(peer) > LONGEST_ID or len(token) > 4096:
        return {"type": "ERROR", "payload": {"msg": NO_ID}}
    if key != KEY:
        return {"type": "ERROR", "payload": {"msg": BAD_KEY}}
    # Ids of Calto's users are theirs: whoever comes by one shows a token of this server.
    if peer.startswith("u-") and not await _is_theirs(services, peer, token):
        return {"type": "ID-TAKEN", "payload": {"msg": "ID is taken"}}
    return None


async def _is_theirs(services: Services, peer: str, token: str) -> bool:
    try:
        user, _ = await services.guard.user(token)
    except Refused:
        return False
    return user.id == peer
