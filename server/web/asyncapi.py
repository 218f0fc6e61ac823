"""The phone's protocol as an AsyncAPI 3.0 document, made from the structs that are the wire.

Served at /asyncapi.json; docs/asyncapi.json is the same, written by tools/make_asyncapi.py.
"""

from __future__ import annotations

import typing
from functools import cache
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from server.events import LiveEvent
from server.relay.messages import AnyCommand, Gap, Pong, Status
from server.relay.notices import ErrorFrame
from server.web.auth import SUBPROTOCOL

SCHEMAS: Final = "#/components/schemas/"
#: Fields that the event log adds to every live event.
NUMBERED: Final = {
    "type": "object",
    "required": ["id", "ts"],
    "properties": {
        "id": {"type": "integer", "description": "Server-wide; only grows"},
        "ts": {"type": "integer", "description": "Milliseconds since 1970"},
    },
}
QUERY: Final = {
    "live": {"type": "string", "enum": ["auto", "manual"], "default": "auto"},
    "since": {"type": "integer", "description": "The last id the phone got; with epoch"},
    "epoch": {"type": "string", "description": "From the first status"},
    "types": {"type": "string", "description": "Live events wanted, separated by commas"},
    "combo": {"type": "string", "enum": ["final", "live"], "default": "final"},
    "lang": {"type": "string", "enum": ["ru", "en"]},
    "platform": {"type": "string", "maxLength": 64},
    "os": {"type": "string", "maxLength": 64},
    "device": {"type": "string", "maxLength": 64},
    "token": {"type": "string", "description": "For apps that can send it no other way"},
}


def add_routes(app: web.Application) -> None:
    """`GET /asyncapi.json`."""
    app.router.add_get("/asyncapi.json", serve)


async def serve(_request: web.Request) -> web.Response:
    """The document."""
    return web.Response(
        body=encoded(),
        headers={
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.CACHE_CONTROL: "no-cache",
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        },
    )


@cache
def encoded() -> bytes:
    """The document as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> dict[str, Any]:
    """The whole document."""
    events = typing.get_args(LiveEvent)
    own = (Status, ErrorFrame, Gap, Pong)
    commands = typing.get_args(AnyCommand)
    _, schemas = msgspec.json.schema_components(
        (*events, *own, *commands), ref_template=SCHEMAS + "{name}"
    )
    messages = {
        **{_tag(kind): _message(kind, numbered=True) for kind in events},
        **{_tag(kind): _message(kind) for kind in own},
        **{_tag(kind): _message(kind) for kind in commands},
    }
    received = [_tag(kind) for kind in (*events, *own)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "LiveRelay",
            "version": SUBPROTOCOL.rpartition(".v")[2],
            "description": "One WebSocket for a phone; docs/protocol.md explains it in words.",
            "license": {"name": "AGPL-3.0-or-later"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "phone": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "query": _object(QUERY)}},
            }
        },
        "operations": {
            "receive": _operation("receive", received),
            "command": _operation("send", [_tag(kind) for kind in commands]),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _message(kind: type[msgspec.Struct], *, numbered: bool = False) -> dict[str, Any]:
    payload: dict[str, Any] = {"$ref": f"{SCHEMAS}{kind.__name__}"}
    return {
        "name": _tag(kind),
        "summary": " ".join((kind.__doc__ or "").split("\n\n")[0].split()),
        "payload": {"allOf": [payload, NUMBERED]} if numbered else payload,
    }


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/phone"},
        "messages": [{"$ref": f"#/channels/phone/messages/{name}"} for name in names],
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}
