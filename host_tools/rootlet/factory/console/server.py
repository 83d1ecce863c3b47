"""The page's server: Starlette on uvicorn, on loopback by default. It only reads the ledger."""

import asyncio
import contextlib
import functools
import hmac
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rootlet.errors import BadInput, RootletError
from rootlet.factory import exports, views
from rootlet.factory.console import floor_view
from rootlet.factory.database import Database
from rootlet.factory.schema import State

PAGE = 50
"""Identities on one page of a batch."""

_HERE = Path(__file__).parent
_COOKIE = "rootlet_floor"
_LOOK = 0.5  # seconds between two looks at the ledger
_BEAT = 5.0  # seconds between two signs of life on an idle page
_LOCAL = ["127.0.0.1", "localhost", "[::1]"]
_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def serve(database: Database, host: str, port: int, token: str | None, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. ``ready`` gets the address with the token. Raises BadInput for a port in use."""
    listener = _listen(host, port)
    shown = "localhost" if host in ("127.0.0.1", "::1") else socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104
    query = f"/?{urlencode({'token': token})}" if token else "/"
    config = uvicorn.Config(
        application(database, token),
        log_level="warning",
        access_log=False,  # the access log would contain the token
        timeout_graceful_shutdown=1,
    )
    ready(f"http://{shown}:{listener.getsockname()[1]}{query}")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def application(database: Database, token: str | None) -> ASGIApp:
    """The page's application. Without ``token`` it accepts requests from this computer only."""
    pages = _Pages(database)
    routes = [
        Route("/", pages.floor),
        Route("/events", pages.events),
        Route("/batches", pages.batches),
        Route("/batches/{batch}", pages.batch),
        Route("/batches/{batch}/export.{kind}", pages.export),
        Route("/things/{thing}", pages.thing),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    guards = [Middleware(_Token, token=token) if token else Middleware(TrustedHostMiddleware, allowed_hosts=_LOCAL)]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Headers), *guards],
        lifespan=pages.lifespan,
        exception_handlers={RootletError: _refused},
    )


class _Pages:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._templates = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape())
        self._templates.filters["moment"] = floor_view.moment
        self._changed = asyncio.Condition()
        self._shown = ""

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Reads the ledger once for all open pages."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()

    async def floor(self, _request: Request) -> Response:
        return self._page("floor.html", floor=await run_in_threadpool(self._render))

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def batches(self, _request: Request) -> Response:
        return self._page("batches.html", batches=await run_in_threadpool(views.batches, self._database))

    async def batch(self, request: Request) -> Response:
        name = request.path_params["batch"]
        word, number = request.query_params.get("word", "").strip(), _number(request.query_params.get("page"))
        found = next((one for one in await run_in_threadpool(views.batches, self._database) if one.name == name), None)
        if found is None:
            raise BadInput(f"there is no batch {name}", hint="choose one from the list of batches")
        chosen = request.query_params.get("state", "")
        states = [state for state in State if state == chosen]
        lines = await run_in_threadpool(
            lambda: list(
                views.lines(
                    self._database,
                    name,
                    states=states,
                    troubled=chosen == "trouble",
                    word=word,
                    limit=PAGE + 1,
                    offset=number * PAGE,
                )
            )
        )
        return self._page(
            "batch.html", batch=found, lines=lines[:PAGE], more=len(lines) > PAGE, word=word, state=chosen, page=number
        )

    async def export(self, request: Request) -> Response:
        batch, kind = request.path_params["batch"], request.path_params["kind"]
        types = {"csv": "text/csv", "json": "application/json"}
        if kind not in types:
            raise BadInput(f"an export as {kind} is not possible", hint="choose csv or json")
        text = await run_in_threadpool(lambda: exports.render(self._database, batch, kind))
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in batch)
        headers = {"content-disposition": f'attachment; filename="{name}.{kind}"'}
        return Response(text, media_type=types[kind], headers=headers)

    async def thing(self, request: Request) -> Response:
        thing = request.path_params["thing"]
        entries = await run_in_threadpool(views.past, self._database, thing)
        if not entries:
            raise BadInput(f"the ledger does not know {thing}", hint="look for the thing in its batch")
        return self._page("thing.html", thing=thing, entries=entries)

    def _page(self, template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(**values))

    def _render(self) -> str:
        return self._templates.get_template("tiles.html").render(floor=floor_view.look(self._database))

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(RootletError):  # the page itself shows that updates have stopped
                shown = await run_in_threadpool(self._render)
                if shown != self._shown:
                    self._shown = shown
                    async with self._changed:
                        self._changed.notify_all()
            await asyncio.sleep(_LOOK)

    async def _stream(self) -> AsyncIterator[str]:
        sent = None
        while True:
            if self._shown == sent:
                yield ": still here\n\n"
            else:
                sent = self._shown
                yield "".join(f"data: {line}\n" for line in sent.splitlines()) + "\n"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT), self._changed:
                    await self._changed.wait_for(functools.partial(self._differs, sent))

    def _differs(self, sent: str) -> bool:
        return self._shown != sent


class _Headers:
    """Sets headers: no foreign content, no embedding in frames, no caching."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        await self._app(scope, receive, with_headers)


class _Token:
    """Requires the token: in the address once, then in a cookie that scripts cannot read; or as a bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.query_params.get("token")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        response: ASGIApp
        if given is not None and self._same(given):
            response = RedirectResponse(request.url.path, status_code=303)  # removes the token from the address bar
            response.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict", max_age=30 * 86_400)
        elif self._same(request.cookies.get(_COOKIE, "")) or self._same(bearer):
            response = self._app
        else:
            response = PlainTextResponse(
                "Open the address that rootlet factory console printed: it contains the token.\n", 403
            )
        await response(scope, receive, send)

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RootletError)
    return PlainTextResponse(f"{error.what}; {error.hint}\n", 404 if isinstance(error, BadInput) else 503)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another port with --listen"
        ) from None


def _number(text: str | None) -> int:
    return min(int(text), 10_000_000) if text and text.isdecimal() else 0
