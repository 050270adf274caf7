"""Who may come in: the names of this server, the addresses that it listens on, connections of one address."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from freeze_omni.server.config import Limits, ServerConfig

LINGER_S = 1.0
"""How long what a refused client sends is still read, and dropped."""
TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This address has too many connections open.\n"
)


def refused_listening(host: str, api_key: str, without_key: bool) -> str:
    """Why the server may not listen on `host`, or an empty text."""
    if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        return "the API key must be of printable ASCII characters without blanks: clients send it in a header"
    if api_key or without_key or is_loopback(host):
        return ""
    return (
        f"--host {host or '(all)'} lets other machines in: set FREEZE_OMNI_API_KEY, which clients then show, or give "
        "--no_api_key to serve everyone who can reach this machine"
    )


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Hosts:
    """Names by which clients may call the server.

    A page of another site can have its own name point to this machine (DNS rebinding); then the browser takes the
    server for that site's own. Such a request names the other site as its host. An address is no name of a site.
    """

    def __init__(self, config: ServerConfig) -> None:
        own = socket.gethostname().lower()
        known = {"localhost", own, own.split(".")[0], f"{own.split('.')[0]}.local", config.host.lower()}
        self._names = known | {name.lower() for name in config.allowed_hosts}

    def allow(self, header: str) -> bool:
        """header: of a request, `Host`: a name or an address, and maybe a port."""
        name = header.rsplit("]", 1)[0].strip("[") if header.startswith("[") else header.split(":")[0]
        name = name.lower().removesuffix(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return "*" in self._names or bool(name) and (name in self._names or name.endswith(".localhost"))
        return True


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's protocol, with a bound on the connections of an address, and on the time for a request."""
    transports: set[asyncio.Transport] = set()

    class Door(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._patience = self.loop.call_later(limits.request_s, self._give_up)
            # what a WebSocket takes over does not come back here: closed ones are found now
            transports.difference_update([one for one in transports if one.is_closing()])
            own = sum(_address(one) == _address(transport) for one in transports)
            self._refused = bool(limits.connections) and own >= limits.connections
            if not self._refused:
                transports.add(transport)
                return
            transport.write(TOO_MANY)
            if transport.can_write_eof():  # a close at once would reset the connection before the client has read
                transport.write_eof()
                self.loop.call_later(LINGER_S, transport.close)
            else:
                transport.close()

        def data_received(self, data: bytes) -> None:
            if not self._refused:
                super().data_received(data)

        def _give_up(self) -> None:
            if self.scope is None:  # no whole request has come
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._patience.cancel()
            super().connection_lost(exc)

    return Door


def _address(transport: asyncio.Transport) -> str:
    return str((transport.get_extra_info("peername") or [""])[0])


class HostCheck:
    """ASGI middleware: `Hosts`, for requests and WebSockets alike."""

    def __init__(self, application: ASGIApp, hosts: Hosts) -> None:
        self._application, self._hosts = application, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = Headers(scope=scope).get("host", "") if scope["type"] in ("http", "websocket") else None
        if name is None or self._hosts.allow(name):
            return await self._application(scope, receive, send)
        text = f"This server is not called '{name[:100]}'. Its owner can allow the name: --allowed_hosts"
        await refusal(text, "wrong_host", 403)(scope, receive, send)


def refusal(text: str, code: str, status: int) -> Response:
    """An error as OpenAI's clients read it."""
    return JSONResponse({"error": {"type": "invalid_request_error", "code": code, "message": text}}, status)
