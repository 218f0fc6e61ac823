"""The program as operators use it: starts, stops, commands, and what is said when one fails."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import sqlite3
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.phone import Phone
from tests.process import RUN, STOPS_WITHIN_S, Server, environment, run
from tests.tiktok import TikTok, frames


async def paired(server: Server, http: aiohttp.ClientSession) -> str:
    """A token by the printed pairing link."""
    async with http.post(f"{server.url}/api/pair", json={"code": server.pairing_code}) as answer:
        assert answer.status == 201
        token: str = (await answer.json())["token"]
        return token


def browser() -> aiohttp.ClientSession:
    """A client that takes cookies from an IP address too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def connected(server: Server, http: aiohttp.ClientSession, token: str) -> Phone:
    """A phone by header."""
    headers = {"Authorization": f"Bearer {token}"}
    return Phone(await http.ws_connect(f"{server.url}/ws", headers=headers))


# ---- serving


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_with_1001_for_phones_and_status_0(
    signum: int, tmp_path: Path, tiktok: TikTok
) -> None:
    tiktok.creator("anna", live=True)
    await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "anna")
    async with (
        Server(tmp_path, environment(tmp_path, tiktok)) as server,
        aiohttp.ClientSession() as http,
    ):
        phone = await connected(server, http, await paired(server, http))
        await phone.expect_live()
        server.process.send_signal(signum)
        assert (await phone.expect_close())[0] == 1001
        assert not phone.of("error")
        assert await server.stop(signum) == 0
        assert "Traceback" not in server.err


async def test_nothing_that_hangs_keeps_the_server_from_stopping_in_time(
    tmp_path: Path, tiktok: TikTok
) -> None:
    anna, boris = tiktok.creator("anna", live=True), tiktok.creator("boris", live=True)
    boris.script.sign = "hang"
    tiktok.creator("carla").script.html = "drip"
    tokens = []
    for name in ("anna", "boris", "carla"):
        done = await run(tmp_path, "user", "add", "--name", name, "--tiktok", name, "--json")
        tokens.append(json.loads(done.out)["token"])
    async with Server(tmp_path, environment(tmp_path, tiktok)) as server, browser() as http:
        watching = await connected(server, http, tokens[0])
        await watching.expect_live()
        # A phone that never reads, and one whose handshake never ends.
        port = int(server.url.rsplit(":", 1)[1])
        stalled, stalled_writer = await asyncio.open_connection("127.0.0.1", port, limit=64)
        stalled_writer.write(
            f"GET /ws/{tokens[0]} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await stalled.readuntil(b"101 Switching")
        _, half = await asyncio.open_connection("127.0.0.1", port)
        half.write(b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n")
        for token in tokens[1:]:
            await (await connected(server, http, token)).expect("status", state="connecting")
        await boris.until(lambda: len(tiktok.sign.requests) == 2)
        anna.stall()
        assert await server.stop() == 0
        assert "Traceback" not in server.err
        for writer in (stalled_writer, half):
            writer.transport.abort()


async def test_the_first_start_makes_user_1_and_prints_how_to_get_in(
    tmp_path: Path, tiktok: TikTok
) -> None:
    env = environment(tmp_path, tiktok)
    async with Server(tmp_path, env) as server, browser() as http:
        assert "server.host" in server.out  # only this machine can open the links
        token = await paired(server, http)
        async with http.get(
            f"{server.url}/api/me", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert (await answer.json())["user_id"] == 1
        async with http.post(server.login_url) as answer:
            assert (answer.status, answer.url.path) == (200, "/console/")
        assert await server.stop() == 0
    assert (
        await run(tmp_path, "console", "set-password", "--password-stdin", stdin=b"correct horse\n")
    ).status == 0
    async with Server(tmp_path, env) as server, browser() as http:
        assert (server.pairing_code, server.login_url) == ("", "")
        assert f"{server.url}/app/\n" in server.out
        assert f"{server.url}/console/\n" in server.out
        assert "run.py user link 1" in server.out
        form = {"password": "correct horse"}
        async with http.post(f"{server.url}/console/login", data=form) as answer:
            assert (answer.status, answer.url.path) == (200, "/console/")


async def test_no_secret_reaches_standard_error_or_the_database(
    tmp_path: Path, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    env = environment(tmp_path, tiktok, LIVERELAY_SERVER__LOG_LEVEL="debug")
    secrets = {"euler_own_key_0123456789"}
    async with Server(tmp_path, env) as server, browser() as http:
        token = await paired(server, http)
        secrets |= {token, server.pairing_code, server.login_url.rsplit("/", 1)[1]}
        bearer = {"Authorization": f"Bearer {token}"}
        for path, body in (
            ("tiktok-username", {"tiktok_username": "anna"}),
            ("sign-key", {"sign_api_key": "euler_own_key_0123456789"}),
        ):
            async with http.put(f"{server.url}/api/me/{path}", json=body, headers=bearer) as got:
                assert got.status == 200
        for path, protocols in (
            (f"/ws/{token}", ()),
            (f"/ws?token={token}", ()),
            ("/ws", ("liverelay.v1", f"token.{token}")),
        ):
            phone = Phone(await http.ws_connect(server.url + path, protocols=protocols))
            await phone.expect_live()
            await creator.send(frames.chat("boris", "hi"))
            await phone.expect("chat")
            await phone.close()
        for path in (f"/ws/{token}", f"/nowhere/{token}?token={token}", f"/app/?code={token}"):
            async with http.get(server.url + path) as got:
                assert got.status in {200, 400, 404, 426}
        wrong = Phone(await http.ws_connect(f"{server.url}/ws/{token}x"))
        assert (await wrong.expect_error("unauthorized"))["closing"]
        creator.script.sign = 401
        creator.reset()
        phone = await connected(server, http, token)
        await phone.expect_error("sign_key_invalid")
        async with http.post(server.login_url) as answer:
            assert answer.status == 200
        for cookie in http.cookie_jar:
            secrets.add(cookie.value)
        assert tiktok.sign.tokens
        assert await server.stop() == 0
        stderr = server.err
    stored = b"".join(
        (tmp_path / name).read_bytes() for name in os.listdir(tmp_path) if ".db" in name
    )
    assert len(secrets) >= 5
    for secret in secrets:
        assert secret not in stderr
        assert secret.encode() not in stored
    for line in stderr.splitlines():
        assert "Traceback" not in line


async def test_a_command_beside_the_server_is_noticed_within_a_moment(
    tmp_path: Path, tiktok: TikTok
) -> None:
    tiktok.creator("anna", live=True)
    added = await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "@Anna", "--json")
    token = json.loads(added.out)["token"]
    async with (
        Server(tmp_path, environment(tmp_path, tiktok)) as server,
        aiohttp.ClientSession() as http,
    ):
        phone = await connected(server, http, token)
        await phone.expect_live()
        assert (await run(tmp_path, "user", "token", "1")).status == 0
        await phone.expect_error("unauthorized")
        assert phone.close_code == 1008
        assert await server.stop() == 0


async def test_a_user_who_is_deleted_leaves_no_row_behind(tmp_path: Path, tiktok: TikTok) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = 500
    done = await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "anna", "--json")
    token = json.loads(done.out)["token"]
    async with Server(tmp_path, environment(tmp_path, tiktok)) as server, browser() as http:
        await (await connected(server, http, token)).expect_error("sign_unavailable")
        phone = Phone(await http.ws_connect(f"{server.url}/ws/{token}?live=manual"))
        await phone.expect("status", state="stopped")
        await run(tmp_path, "user", "delete", "1")
        await phone.expect_error("unauthorized")
        assert await server.stop() == 0
    with sqlite3.connect(tmp_path / "liverelay.db") as database:
        left = database.execute("SELECT count(*) FROM events WHERE user_id = 1").fetchone()
    database.close()
    assert left == (0,)


async def test_a_new_password_ends_what_open_consoles_show(tmp_path: Path, tiktok: TikTok) -> None:
    async with Server(tmp_path, environment(tmp_path, tiktok)) as server, browser() as http:
        await http.post(server.login_url)
        live = await http.ws_connect(f"{server.url}/console/live")
        await run(tmp_path, "console", "set-password", "--password-stdin", stdin=b"correct horse\n")
        message = await asyncio.wait_for(live.receive(), STOPS_WITHIN_S)
        while message.type is aiohttp.WSMsgType.TEXT:
            message = await asyncio.wait_for(live.receive(), STOPS_WITHIN_S)
        assert (message.type, message.data, message.extra) == (
            aiohttp.WSMsgType.CLOSE, 1008, "signed_out",
        )  # fmt: skip
        assert await server.stop() == 0


async def test_without_its_packages_the_program_says_how_to_get_them(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", str(RUN), "user", "list",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert len(err.splitlines()) == 1
    assert b"pip install -r requirements.txt" in err


async def test_a_second_server_on_the_database_does_not_start(
    tmp_path: Path, tiktok: TikTok
) -> None:
    env = environment(tmp_path, tiktok)
    async with Server(tmp_path, env) as server:
        second = await run(tmp_path, env=env)
        assert second.status == 2
        assert "another LiveRelay server" in second.err
        assert len(second.err.splitlines()) == 1
        assert await server.stop() == 0


# ---- starts that fail


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[server]\nprot = 1", "unknown key server.prot; did you mean port?"),
        ("[sever]\nport = 1", "unknown section [sever]; did you mean server?"),
        ('[server]\nport = "x"', 'server.port = "x": expected a whole number from 0 to 65535'),
        ("[server]\nport = 70000", "server.port = 70000: expected"),
        ("[rooms]\nlinger_s = nan", "rooms.linger_s = nan: expected"),
        ('[server]\nlanguage = "de"', 'expected "ru" or "en"'),
        ('[sign]\nurl = "eulerstream"', 'sign.url = "eulerstream": expected a URL'),
        ('[server]\ntls_cert = "x.pem"', "server.tls_key is empty"),
        ("port = 8080", "port stands outside its section: write it below [server]"),
        ('[database]\npath = ""', 'database.path = "": expected text that is not empty'),
        (
            '[server]\nallowed_hosts = ["http://x/y"]',
            'server.allowed_hosts = "http://x/y": expected a host',
        ),
        ("[sign]\nanonymous_limits = {minut = 5}", "minut is none of them; did you mean minute?"),
        ("[server", "is not valid TOML"),
        ("\xff", "is not UTF-8 text"),
    ],
)
async def test_a_mistake_in_the_configuration_is_one_line_and_status_2(
    toml: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_bytes(toml.encode("latin-1"))
    done = await run(tmp_path)
    assert done.status == 2
    assert "config.toml: " in done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert os.listdir(tmp_path) == ["config.toml"]


async def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    env = environment(tmp_path, LIVERELAY_SERVER__PROT="1")
    done = await run(tmp_path, env=env)
    assert (done.status, done.out) == (2, "")
    assert (
        "unknown variable LIVERELAY_SERVER__PROT; did you mean LIVERELAY_SERVER__PORT?" in done.err
    )
    done = await run(
        tmp_path, env=environment(tmp_path, LIVERELAY_SIGN__API_KEY="ok", SIGN_API_URL="x")
    )
    assert "environment: SIGN_API_URL: sign.url" in done.err


async def test_the_value_of_a_secret_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[sign]\napi_key = 123456789012")
    done = await run(tmp_path)
    assert done.status == 2
    assert "123456789012" not in done.err


def _corrupt(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)


def _text(path: Path) -> None:
    path.write_text("not a database at all, but long enough to look at " * 10)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x4C526C79")
        connection.execute("CREATE TABLE users (a)")
        connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_corrupt, "left alone"),
        (_text, "is not an SQLite database"),
        (_foreign, "another program's database"),
        (_newer, "written by a newer LiveRelay"),
    ],
)
@pytest.mark.parametrize("command", [(), ("user", "list")], ids=["serve", "command"])
async def test_a_database_that_is_not_ours_is_left_alone_with_status_2(
    command: tuple[str, ...], spoil: object, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "liverelay.db"
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes()
    done = await run(tmp_path, *command)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["liverelay.db"]


async def test_a_damaged_database_of_ours_is_told(tmp_path: Path) -> None:
    await run(tmp_path, "user", "add", "--name", "x")
    path = tmp_path / "liverelay.db"
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    path.write_bytes(data)
    done = await run(tmp_path)
    assert done.status == 2
    assert "damaged" in done.err
    assert len(done.err.splitlines()) == 1


async def test_a_locked_database_is_told_and_not_replaced(tmp_path: Path) -> None:
    await run(tmp_path, "user", "add", "--name", "x")
    connection = sqlite3.connect(tmp_path / "liverelay.db")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        done = await run(tmp_path)
    finally:
        connection.rollback()
        connection.close()
    assert done.status == 2
    assert "locked" in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("liverelay:")]) == 1
    assert "Traceback" not in done.err


async def test_a_missing_folder_and_a_taken_port_are_told(tmp_path: Path, tiktok: TikTok) -> None:
    env = environment(tmp_path, LIVERELAY_DATABASE__PATH="nowhere/live.db")
    done = await run(tmp_path, env=env)
    assert done.status == 2
    assert "the folder nowhere does not exist" in done.err
    port = tiktok.app_url.rsplit(":", 1)[1]
    done = await run(tmp_path, env=environment(tmp_path, LIVERELAY_SERVER__PORT=port))
    assert done.status == 2
    assert f"server.port = {port}: cannot listen" in done.err


# ---- commands


async def test_users_are_added_listed_and_deleted(tmp_path: Path) -> None:
    added = await run(
        tmp_path, "user", "add", "--name", "Маша", "--tiktok", "https://www.tiktok.com/@Masha/live",
        "--json",
    )  # fmt: skip
    first = json.loads(added.out)
    assert first.keys() == {"user_id", "token", "pair_url"}
    assert first["pair_url"].startswith("http://127.0.0.1:0/app/#pair=")
    await run(tmp_path, "user", "add", "--name", "Олег")
    listed = json.loads((await run(tmp_path, "user", "list", "--json")).out)
    assert listed == [
        {"user_id": 1, "name": "Маша", "tiktok_username": "masha"},
        {"user_id": 2, "name": "Олег", "tiktok_username": ""},
    ]
    link = json.loads((await run(tmp_path, "user", "link", "1", "--json")).out)
    assert link["pair_url"] != first["pair_url"]
    again = json.loads((await run(tmp_path, "user", "token", "1", "--json")).out)
    assert again["token"] != first["token"]
    assert (await run(tmp_path, "user", "delete", "1")).status == 0
    table = (await run(tmp_path, "user", "list")).out
    assert "Олег" in table
    assert "Маша" not in table


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("usr",), 2, "invalid choice: 'usr'"),
        (("user",), 2, "required: COMMAND"),
        (("user", "lst"), 2, "invalid choice: 'lst'"),
        (("user", "list", "--jsn"), 2, "--jsn"),
        (("user", "add"), 2, "--name"),
        (("user", "add", "--name", "  "), 2, "1 to 64 visible characters"),
        (("user", "add", "--name", "a\x1b[31mb"), 2, "visible characters"),
        (("user", "add", "--name", "x", "--tiktok", "../../x"), 2, "../../x"),
        (("user", "add", "--name", "x", "--tiktok", "mаsha"), 2, "«а»"),
        (("user", "token", "7"), 1, "there is no user 7"),
        (("user", "link", "7"), 1, "there is no user 7"),
        (("user", "delete", "7"), 1, "there is no user 7"),
        (("user", "token", "x"), 2, "invalid int value"),
        (("--config", "nowhere.toml", "user", "list"), 2, "nowhere.toml: there is no such file"),
        (("console", "set-password"), 2, "--password-stdin"),
        (("export", "--since", "yesterday"), 2, "2h, 7d"),
        (("export", "--json", "--format", "csv"), 2, "cannot go together"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why_in_one_line(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    done = await run(tmp_path, *arguments)
    assert done.status == status
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert done.out == ""


@pytest.mark.parametrize("password", [b"short\n", b"", b"x" * 2000, b"\xff\xfe" * 10])
async def test_a_password_that_does_not_fit_is_refused(password: bytes, tmp_path: Path) -> None:
    done = await run(tmp_path, "console", "set-password", "--password-stdin", stdin=password)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


async def test_the_log_is_exported_as_ndjson_and_as_csv_that_no_spreadsheet_runs(
    tmp_path: Path, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "anna")
    async with (
        Server(tmp_path, environment(tmp_path, tiktok)) as server,
        aiohttp.ClientSession() as http,
    ):
        phone = await connected(server, http, await paired(server, http))
        await phone.expect_live()
        await creator.send(frames.chat(frames.Person("eve", "=cmd|' /C calc'!A0"), "привет"))
        sent = await phone.expect("chat")
        assert await server.stop() == 0
    rows = [json.loads(line) for line in (await run(tmp_path, "export")).out.splitlines()]
    (chat,) = [row for row in rows if row["type"] == "chat"]
    assert chat["frame"] == sent
    assert (chat["id"], chat["creator"]) == (sent["id"], "anna")
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    table = list(
        csv.DictReader(io.StringIO((await run(tmp_path, "export", "--format", "csv")).out))
    )
    (cell,) = [row["text"] for row in table if row["type"] == "chat"]
    assert cell.startswith("'=cmd")
    assert (await run(tmp_path, "export", "--until", "1h")).out == ""
    assert len((await run(tmp_path, "export", "--since", "1h")).out.splitlines()) == len(rows)


async def test_the_doctor_says_what_is_well_and_what_to_mend(
    tmp_path: Path, tiktok: TikTok
) -> None:
    env = environment(tmp_path, tiktok)
    well = await run(tmp_path, "doctor", env=env)
    assert well.status == 0, well.out
    assert "FAIL" not in well.out
    tiktok.sign.script = "refused"
    ill = await run(tmp_path, "doctor", "--json", env=env)
    assert ill.status == 1
    findings = {finding["name"]: finding for finding in json.loads(ill.out)}
    assert findings["tiktok"]["ok"]
    assert not findings["sign server"]["ok"]
    assert findings["sign server"]["mend"]
    (tmp_path / "config.toml").write_text("[server]\nprot = 1")
    ill = await run(tmp_path, "doctor", env=env)
    assert ill.status == 1
    assert "FAIL  configuration" in ill.out
    assert not tiktok.sign.requests
