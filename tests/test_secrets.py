"""Every kind of secret, used rightly and wrongly, and then looked for wherever anybody may look."""

from __future__ import annotations

import asyncio
import io
import json
import re
import secrets
import tarfile
from pathlib import Path

import aiohttp

from tests import canaries
from tests.process import Server, environment, run
from tests.tiktok import TikTok, frames

PASSWORD, SIGN_KEY, OWN_KEY, METRICS_TOKEN, SESSION_ID = (
    f"{kind}-{secrets.token_hex(12)}" for kind in ("password", "key", "own", "metrics", "session")
)
CONFIG = f"""
[server]
log_level = "debug"
metrics_token = "{METRICS_TOKEN}"
[tiktok]
session_id = "{SESSION_ID}"
tt_target_idc = "useast1a"
"""
#: As clients, proxies and mistakes send them.
MISUSES = (
    "/ws/{}",
    "/ws?token={}",
    "/api/me?token={}",
    "/{}",
    "/app/?token={}",
    "/console/login/{}",
    "/static/{}",
    "/console/?q={}",
)


async def misuse(port: int, secret: str) -> None:
    """Send a secret to wherever it does not belong, and as no HTTP at all."""
    raw = [f"GET {path.format(secret)} HTTP/1.1\r\nHost: localhost\r\n" for path in MISUSES]
    raw += [
        f"GET / HTTP/1.1\r\nHost: {secret}\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nReferer: http://x/?token={secret}\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer {secret}\r\n",
        f"GET /{secret}\x01 HTTP/1.1\r\nHost: localhost\r\n",
        f"{secret} / HTTP/1.1\r\nHost: localhost\r\n",
    ]
    for request in raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.encode() + b"\r\n")
        assert await reader.readline()
        writer.close()
        await writer.wait_closed()


async def crawl(http: aiohttp.ClientSession, url: str, cookie: str) -> int:
    """Read every page that leads anywhere from the console's first; how many there were."""
    seen, waiting = set[str](), ["/console/", "/app/", "/help/errors", "/status", "/metrics"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        async with http.get(url + path, headers={"Cookie": cookie}) as answer:
            body = await answer.read()
            if "html" not in answer.content_type:
                continue
        links = re.findall(r'href="(/[^"#]*)', body.decode())
        waiting += [link.replace("&amp;", "&") for link in links if link not in seen]
    return len(seen)


async def test_no_secret_is_anywhere_that_anybody_can_look(tmp_path: Path, tiktok: TikTok) -> None:
    creator = tiktok.creator("anna", live=True)
    (tmp_path / "config.toml").write_text(CONFIG)
    env = environment(tmp_path, tiktok, SIGN_API_KEY=SIGN_KEY)
    for secret in (PASSWORD, SIGN_KEY, OWN_KEY, METRICS_TOKEN, SESSION_ID):
        canaries.note(secret)
    added = await run(tmp_path, "user", "add", "--name", "A", "--tiktok", "anna", "--json", env=env)
    token = json.loads(added.out)["token"]
    assert token in canaries.used
    async with Server(tmp_path, env) as server, canaries.watched_session() as http:
        canaries.note_printed(server.out)
        async with http.post(server.login_url, allow_redirects=False) as answer:
            session = answer.cookies["liverelay_console"].value
        cookie = f"liverelay_console={session}"
        bearer = {"Authorization": f"Bearer {token}"}
        async with http.put(
            f"{server.url}/api/me/sign-key", json={"sign_api_key": OWN_KEY}, headers=bearer
        ) as answer:
            assert answer.status == 200, await answer.text()
        async with http.ws_connect(f"{server.url}/ws/{token}") as ws:
            while (await ws.receive_json()).get("state") != "live":
                pass
            await creator.send(frames.chat("fan", "hello"))
            await ws.send_str(token)
            while (await ws.receive_json())["type"] != "error":
                pass
            canaries.note(session)
            port = int(server.url.rsplit(":", 1)[1])
            for secret in sorted(canaries.used):
                await misuse(port, secret)
            assert await crawl(http, server.url, cookie) > 20
            for kind in ("ndjson", "csv"):
                path = f"{server.url}/console/export?format={kind}"
                async with http.get(path, headers={"Cookie": cookie}) as answer:
                    assert answer.status == 200
                    assert "hello" in await answer.text()
            async with http.get(f"{server.url}/source.tar.gz") as answer:
                source = await answer.read()
        spent = [request.key for request in tiktok.sign.requests]
        assert set(spent) == {OWN_KEY}
        assert await server.stop() == 0
    with tarfile.open(fileobj=io.BytesIO(source)) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None:
                canaries.assert_none_in(file.read(), member.name)
    for kind in ("ndjson", "csv"):
        exported = await run(tmp_path, "export", "--format", kind, env=env)
        canaries.assert_none_in(exported.out, "export")
    examined = await run(tmp_path, "doctor", "--json", env=env)
    canaries.assert_none_in(examined.out, "doctor")


async def test_files_that_hold_secrets_are_the_server_s_alone(
    tmp_path: Path, tiktok: TikTok
) -> None:
    async with Server(tmp_path, environment(tmp_path, tiktok)) as server:
        files = sorted(tmp_path.glob("liverelay.*"))  # noqa: ASYNC240
        assert len(files) >= 3
        assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
            file.name: "0o600" for file in files
        }
        assert await server.stop() == 0


async def test_a_key_is_sent_to_the_sign_server_and_nobody_else(
    tmp_path: Path, tiktok: TikTok
) -> None:
    tiktok.creator("anna", live=True)
    env = environment(tmp_path, tiktok, SIGN_API_KEY=canaries.note(SIGN_KEY))
    added = await run(tmp_path, "user", "add", "--name", "A", "--tiktok", "anna", "--json", env=env)
    token = json.loads(added.out)["token"]
    async with Server(tmp_path, env) as server, canaries.watched_session() as http:
        async with http.ws_connect(f"{server.url}/ws/{token}") as ws:
            while (await ws.receive_json()).get("state") != "live":
                pass
        assert await server.stop() == 0
    assert {request.key for request in tiktok.sign.requests} == {SIGN_KEY}
    canaries.assert_none_in("\n".join(tiktok.requests), "what TikTok was asked")
