"""The protocol as a document: what is served is what is in docs/, and it names every frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from server.events import LIVE_EVENT_TYPES
from server.web.asyncapi import document, encoded
from tests.liverelay import LiveRelay

ROOT = Path(__file__).parents[1]


async def test_the_document_that_is_served_is_the_one_in_docs(relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/asyncapi.json") as answer:
        served = await answer.read()
    assert served == encoded()
    # python -m tools.make_asyncapi writes it anew
    assert served == (ROOT / "docs" / "asyncapi.json").read_bytes()


def test_every_frame_and_every_command_is_in_it() -> None:
    operations = document()["operations"]

    def names(operation: str) -> set[str]:
        return {m["$ref"].rsplit("/", 1)[1] for m in operations[operation]["messages"]}

    assert names("receive") == LIVE_EVENT_TYPES | {"status", "error", "gap", "pong"}
    assert names("command") == {"connect_tiktok", "disconnect_tiktok", "ping", "noop"}


def test_every_reference_leads_somewhere() -> None:
    whole = json.loads(encoded())
    seen = 0

    def walk(node: Any) -> None:
        nonlocal seen
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                seen += 1
                found = whole
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(whole)
    assert seen > 50


def test_the_written_protocol_names_every_field() -> None:
    words = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name, schema in document()["components"]["schemas"].items():
        for field in schema["properties"]:
            assert f"`{field}`" in words or f'"{field}"' in words, (name, field)
