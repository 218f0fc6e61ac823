"""The pages anyone may open, their assets, and the headers that keep them safe."""

from __future__ import annotations

import asyncio
import gzip
import html
import io
import json
import re
import sys
import tarfile
from pathlib import Path

import aiohttp
import pytest
from aiohttp import hdrs

from server.errors import ERROR_CLASSES
from server.relay.notices import catalogue
from server.web.render import STATIC, TEMPLATES, strings
from server.web.source import Source
from tests.liverelay import LiveRelay
from tests.process import PATIENCE_S, environment

PAGES = ["/app/", "/help/errors", "/console/login", "/console/login/CODE", "/nowhere"]


async def test_the_root_leads_to_the_app(relay: LiveRelay) -> None:
    async with relay.http.get(relay.url) as answer:
        assert (answer.status, answer.url.path) == (200, "/app/")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_forbids_what_it_does_not_need(path: str, relay: LiveRelay) -> None:
    async with relay.http.get(relay.url + path) as answer:
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";") if " " in rule.strip())
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*(src=|application/json))", text)
    assert not re.search(r"\son\w+=|style=|<style|javascript:", text)


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_leads_to_the_source_code(path: str, relay: LiveRelay) -> None:
    async with relay.http.get(relay.url + path) as answer:
        assert 'href="/source.tar.gz"' in await answer.text()


@pytest.mark.parametrize(
    ("asked", "accepted", "lang"),
    [
        ("", "", "ru"),
        ("", "en-GB,en;q=0.9", "en"),
        ("?lang=en", "ru", "en"),
        ("?lang=xx", "ru", "ru"),
    ],
)
async def test_a_page_speaks_the_language_asked_for(
    asked: str, accepted: str, lang: str, relay: LiveRelay
) -> None:
    headers = {hdrs.ACCEPT_LANGUAGE: accepted} if accepted else {}
    async with relay.http.get(f"{relay.url}/help/errors{asked}", headers=headers) as answer:
        assert f'<html lang="{lang}">' in await answer.text()


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_the_help_page_explains_every_error(lang: str, relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/help/errors?lang={lang}") as answer:
        text = await answer.text()
    assert set(re.findall(r'<article[^>]* id="(\w+)"', text)) == ERROR_CLASSES.keys()
    for entry in catalogue().errors.values():
        assert entry.message[lang] in text  # type: ignore[index]


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_the_app_can_explain_every_error_in_both_languages(
    lang: str, relay: LiveRelay
) -> None:
    async with relay.http.get(f"{relay.url}/app/?lang={lang}") as answer:
        text = await answer.text()
    assert f'<html lang="{lang}">' in text
    title = strings()["app"]["pair_title"][lang]  # type: ignore[index]
    assert title in html.unescape(text)
    embedded = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert embedded is not None
    data = json.loads(embedded[1])
    assert data["lang"] == lang
    assert data["errors"].keys() == ERROR_CLASSES.keys()
    for explained in data["errors"].values():
        for language in ("ru", "en"):
            assert explained[language]["cause"]
            assert explained[language]["fix"]


def test_every_text_is_there_in_both_languages() -> None:
    for table in strings().values():
        for entry in table.values():
            assert entry.ru.strip()
            assert entry.en.strip()


def test_every_file_that_a_template_names_exists() -> None:
    for template in TEMPLATES.rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        for name in re.findall(r"""static\(["']([^"']+)["']\)""", text):
            assert (STATIC / name).is_file(), (template.name, name)


def test_no_script_makes_markup_or_code_of_text() -> None:
    scripts = list(STATIC.rglob("*.js"))
    assert scripts
    for script in scripts:
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function",
            script.read_text(encoding="utf-8"),
        )
        assert found is None, (script.name, found)


def test_every_module_of_the_app_is_announced() -> None:
    page = (TEMPLATES / "app.html").read_text(encoding="utf-8")
    announced = re.search(r"for module in \[([^\]]+)\]", page)
    assert announced is not None
    modules = {path.stem for path in (STATIC / "app").glob("*.js")} - {"main"}
    assert set(re.findall(r'"(?:app/)?(\w+)"', announced[1])) == modules | {"liverelay"}


async def test_assets_are_kept_for_a_year_under_todays_version_only(relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/app/") as answer:
        found = re.search(r'href="(/static/v-\w+/base\.css)"', await answer.text())
    assert found is not None
    async with relay.http.get(relay.url + found[1]) as answer:
        assert "immutable" in answer.headers[hdrs.CACHE_CONTROL]
        assert answer.headers[hdrs.CONTENT_TYPE] == "text/css; charset=utf-8"
        etag = answer.headers[hdrs.ETAG]
    old = re.sub(r"v-\w+", "v-000000000000", found[1])
    async with relay.http.get(relay.url + old, headers={hdrs.IF_NONE_MATCH: etag}) as answer:
        assert answer.status == 304
        assert "immutable" not in answer.headers[hdrs.CACHE_CONTROL]
    async with relay.http.get(f"{relay.url}/static/base.css") as answer:
        assert answer.headers[hdrs.CACHE_CONTROL] == "no-cache"
        assert answer.headers[hdrs.ETAG] == etag


async def test_assets_are_sent_packed_to_who_unpacks(relay: LiveRelay) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = f"{relay.url}/static/base.css"
        async with session.get(url, headers={hdrs.ACCEPT_ENCODING: "gzip"}) as answer:
            packed = await answer.read()
            assert answer.headers[hdrs.CONTENT_ENCODING] == "gzip"
        async with session.get(url, headers={hdrs.ACCEPT_ENCODING: "identity"}) as answer:
            plain = await answer.read()
            assert hdrs.CONTENT_ENCODING not in answer.headers
    assert gzip.decompress(packed) == plain == (STATIC / "base.css").read_bytes()
    assert len(packed) < len(plain)


@pytest.mark.parametrize(
    "path",
    ["../config.toml", "%2e%2e/config.toml", "..%2f..%2fetc/passwd", "app", "nothing.css", "%00"],
)
async def test_nothing_outside_the_assets_is_served(path: str, relay: LiveRelay) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(
        f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    assert answer.split(b" ", 2)[1] in {b"404", b"400"}
    assert b"[server]" not in answer


async def test_the_source_code_is_what_runs_and_holds_no_secret(relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/source.tar.gz") as answer:
        assert answer.headers[hdrs.CONTENT_TYPE] == "application/gzip"
        body = await answer.read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        names = {Path(name) for name in archive.getnames()}
    root = Path("liverelay")
    assert {root / "run.py", root / "LICENSE", root / "server/app.py"} <= names
    assert {root / "templates/app.html", root / "static/app/main.js"} <= names
    assert root / "server/store/migrations/0001_first.sql" in names
    assert root / "server/upstream/schema.binpb" in names
    for name in names:
        assert name.parts[0] == "liverelay"
        assert name.suffix not in {".db", ".key", ".pem", ".log"}
        assert name.name not in {"config.toml", ".env"}


async def test_the_source_code_is_not_sent_again_to_who_has_it(relay: LiveRelay) -> None:
    url = f"{relay.url}/source.tar.gz"
    async with relay.http.get(url) as answer:
        etag = answer.headers[hdrs.ETAG]
    async with relay.http.get(url, headers={hdrs.IF_NONE_MATCH: etag}) as answer:
        assert answer.status == 304
        assert await answer.read() == b""


async def test_the_source_code_runs_as_it_unpacks(relay: LiveRelay, tmp_path: Path) -> None:
    async with relay.http.get(f"{relay.url}/source.tar.gz") as answer:
        body = await answer.read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(tmp_path, filter="data")
    work = tmp_path / "work"
    work.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "liverelay" / "run.py"),
        "user",
        "add",
        "--name",
        "Anna",
        cwd=work,
        env=environment(work),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, err
    assert b"/app/#pair=" in out
    assert (work / "liverelay.db").is_file()


async def test_what_an_operator_leaves_beside_the_code_is_not_packed(tmp_path: Path) -> None:
    code = {"run.py", "server/app.py", "templates/app.html", "static/app/main.js"}
    private = {
        "config.toml",
        "server/config.toml",
        "liverelay.db",
        "liverelay.db-wal",
        "server/liverelay.db",
        "server/tls.key",
        "server/tls.pem",
        "static/stderr.log",
        ".env",
        ".venv/lib/module.py",
        "server/.git/hook.py",
        "server/__pycache__/app.py",
    }
    for name in code | private:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "server" / "settings.toml").symlink_to(tmp_path / "config.toml")
    archive = await Source(tmp_path).archive()
    with tarfile.open(fileobj=io.BytesIO(archive.body)) as packed:
        assert set(packed.getnames()) == {f"liverelay/{name}" for name in code}
