"""Who is asking: addresses behind proxies, tokens in their four places, and guessers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from server.config import Config, ServerSettings
from server.errors import Unauthorized
from server.store.database import Database
from server.web.auth import CACHE_S, Attempts, Auth, bearer_token, socket_token


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "liverelay.db", serving=False)
    yield database
    await database.close()


def request_of(
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    path: str = "/ws",
    peer: str = "127.0.0.1",
    token: str = "",
) -> web.Request:
    """A request as aiohttp hands it over."""
    return make_mocked_request(
        "GET",
        path,
        headers=CIMultiDict(headers or {}),
        match_info={"token": token} if token else {},
    ).clone(remote=peer)


def auth_of(database: Database, *trusted: str) -> Auth:
    return Auth(Config(server=ServerSettings(trusted_proxies=trusted)), database.users)


# ---- addresses


async def test_without_trusted_proxies_the_peer_is_the_client(database: Database) -> None:
    auth = auth_of(database)
    request = request_of({"X-Forwarded-For": "6.6.6.6"}, peer="10.0.0.1")
    assert auth.client_ip(request) == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # what stands further left the client may have written
        (["6.6.6.6, 1.2.3.4, 10.0.0.7"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (["10.0.0.7"], "10.0.0.7"),
        (["nonsense"], "10.0.0.1"),
        (["6.6.6.6, nonsense"], "10.0.0.1"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["[2001:db8::1]:5678"], "2001:db8::1"),
        (["2001:DB8:0::1"], "2001:db8::1"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        ([""], "10.0.0.1"),
        (["1.1.1.1," * 5000 + "1.2.3.4"], "1.2.3.4"),
    ],
)
async def test_behind_trusted_proxies_the_rightmost_other_hop_is_the_client(
    database: Database, forwarded: list[str], client: str
) -> None:
    auth = auth_of(database, "10.0.0.0/8")
    request = request_of([("X-Forwarded-For", value) for value in forwarded], peer="10.0.0.1")
    assert auth.client_ip(request) == client


async def test_loopback_is_this_machine_without_a_proxy_between(database: Database) -> None:
    auth = auth_of(database)
    assert auth.is_loopback(request_of(peer="127.0.0.1"))
    assert auth.is_loopback(request_of(peer="::1"))
    assert not auth.is_loopback(request_of(peer="10.0.0.1"))
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"):
        assert not auth.is_loopback(request_of({header: "127.0.0.1"}))


async def test_only_a_trusted_proxy_says_what_the_scheme_is(database: Database) -> None:
    request = request_of({"X-Forwarded-Proto": "https"}, peer="10.0.0.1")
    assert auth_of(database).scheme(request) == "http"
    assert auth_of(database, "10.0.0.1").scheme(request) == "https"


# ---- tokens


def test_a_socket_takes_its_token_from_the_first_place_that_has_one() -> None:
    header = {"Authorization": "Bearer one"}
    offered = {"Sec-WebSocket-Protocol": "liverelay.v1, token.two"}
    query = "/ws?token=four"
    assert socket_token(request_of(header | offered, path=query, token="three")) == "one"
    assert socket_token(request_of(offered, path=query, token="three")) == "two"
    assert socket_token(request_of(path=query, token="three")) == "three"
    assert socket_token(request_of(path=query)) == "four"
    assert socket_token(request_of()) == ""


def test_rest_takes_a_token_from_the_header_only() -> None:
    assert bearer_token(request_of({"Authorization": "bearer T"})) == "T"
    assert bearer_token(request_of({"Authorization": "Basic T"})) == ""
    assert bearer_token(request_of({"Sec-WebSocket-Protocol": "token.T"}, path="/?token=T")) == ""


async def test_a_token_is_its_users(database: Database) -> None:
    user = await database.users.create("anna")
    token = await database.users.add_token(user.user_id)
    owner = await auth_of(database).authenticate("1.2.3.4", token)
    assert owner.user_id == user.user_id


@pytest.mark.parametrize("token", ["", "unknown", "x" * 10_000, "жетон", "\udcff", "a\x00b"])
async def test_any_other_token_is_unauthorized(database: Database, token: str) -> None:
    with pytest.raises(Unauthorized):
        await auth_of(database).authenticate("1.2.3.4", token)


async def test_a_revoked_token_is_remembered_no_longer_than_told(database: Database) -> None:
    now = 1000.0
    auth = Auth(Config(), database.users, clock=lambda: now)
    user = await database.users.create("anna")
    token = await database.users.add_token(user.user_id)
    owner = await auth.authenticate("1.2.3.4", token)
    await database.users.revoke_token(owner.token_hash)
    assert await auth.authenticate("1.2.3.4", token) == owner
    auth.forget()
    with pytest.raises(Unauthorized):
        await auth.authenticate("1.2.3.4", token)

    token = await database.users.add_token(user.user_id)
    owner = await auth.authenticate("1.2.3.4", token)
    await database.users.revoke_token(owner.token_hash)
    now += CACHE_S
    with pytest.raises(Unauthorized):
        await auth.authenticate("1.2.3.4", token)


async def test_remembered_tokens_are_bounded(database: Database) -> None:
    auth = Auth(Config(), database.users, max_owners=2)
    user = await database.users.create("anna")
    owners = []
    for _ in range(3):
        token = await database.users.add_token(user.user_id)
        owners.append((token, await auth.authenticate("1.2.3.4", token)))
    for _, owner in owners:
        await database.users.revoke_token(owner.token_hash)
    with pytest.raises(Unauthorized):  # the oldest was forgotten
        await auth.authenticate("1.2.3.4", owners[0][0])
    assert await auth.authenticate("1.2.3.4", owners[2][0]) == owners[2][1]


async def test_more_than_twenty_bad_tokens_are_too_many_and_a_good_one_passes(
    database: Database,
) -> None:
    auth = auth_of(database)
    for _ in range(20):
        with pytest.raises(Unauthorized):
            await auth.authenticate("1.2.3.4", "bad")
    assert not auth.too_many_bad_tokens("1.2.3.4")
    with pytest.raises(Unauthorized):
        await auth.authenticate("1.2.3.4", "bad")
    assert auth.too_many_bad_tokens("1.2.3.4")
    assert not auth.too_many_bad_tokens("1.2.3.5")
    assert 55 <= auth.bad_token_retry_after_s("1.2.3.4") <= 60
    user = await database.users.create("anna")
    token = await database.users.add_token(user.user_id)
    assert (await auth.authenticate("1.2.3.4", token)).user_id == user.user_id


# ---- attempts


def test_attempts_are_let_pass_up_to_the_limit_and_a_good_one_clears() -> None:
    attempts = Attempts("test", 2, 100)
    assert [attempts.add("1.2.3.4") for _ in range(3)] == [True, True, False]
    assert attempts.exhausted("1.2.3.4")
    attempts.clear("1.2.3.4")
    assert not attempts.exhausted("1.2.3.4")
    assert attempts.retry_after_s("1.2.3.4") == 1


def test_all_addresses_together_have_a_limit_too() -> None:
    attempts = Attempts("test", 2, 5)
    good = [attempts.add(f"1.2.3.{number}") for number in range(8)]
    assert good == [True] * 5 + [False] * 3
    assert attempts.exhausted("9.9.9.9")
    assert 50 <= attempts.retry_after_s("9.9.9.9") <= 60


def test_one_address_does_not_use_up_everybody_s_attempts() -> None:
    attempts = Attempts("test", 2, 5)
    for _ in range(100):
        attempts.add("1.2.3.4")
    assert attempts.add("5.6.7.8")


def test_addresses_of_one_ipv6_household_count_together() -> None:
    attempts = Attempts("test", 1, 100)
    attempts.add("2001:db8:1:2::1")
    assert attempts.exhausted("2001:db8:1:2:ffff::9")
    assert not attempts.exhausted("2001:db8:1:3::1")


def test_addresses_remembered_are_bounded() -> None:
    attempts = Attempts("test", 1, 100, max_addresses=2)
    for ip in ("1.1.1.1", "2.2.2.2", "3.3.3.3"):
        attempts.add(ip)
    assert [attempts.exhausted(ip) for ip in ("1.1.1.1", "2.2.2.2", "3.3.3.3")] == [
        False,
        True,
        True,
    ]
