"""The store: what is written stays, what is secret is not readable, and a refusal undoes all."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.errors import StartupError, StoreUnavailable
from server.store import migrate
from server.store.codes import CodeUnknown, CodeUsed
from server.store.database import Database
from server.store.log import CHUNK_ROWS, Entry
from server.store.logquery import LogQuery
from server.store.users import UserUnknown

KEY = "euler_secret_key_0123"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "liverelay.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(path, serving=True)
    yield opened
    await opened.close()


def chat(number: int, *, creator: str = "anna", user_id: int = 0, kind: str = "chat") -> Entry:
    """A row of the log."""
    return Entry(number, 1000 * number, kind, "info", creator, user_id, "", "", f"№{number}", "{}")


def raw(path: Path) -> bytes:
    """Everything that is on the disk."""
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def mode(path: Path) -> int:
    """Who may read a file."""
    return stat.S_IMODE(path.stat().st_mode)


# ---- secrets


async def test_tokens_codes_and_passwords_are_stored_as_hashes_only(
    database: Database, path: Path
) -> None:
    user = await database.users.create("x")
    token = await database.users.add_token(user.user_id)
    pairing = await database.users.add_pairing_code(user.user_id)
    login = await database.sessions.add_login_code()
    session = await database.sessions.open()
    await database.sessions.set_password("correct horse")
    assert await database.sessions.check_password("correct horse")
    assert not await database.sessions.check_password("correct horses")
    stored = raw(path)
    for secret in (token, pairing, login, session, "correct horse"):
        assert secret.encode() not in stored
        assert secret.replace("-", "").encode() not in stored
    assert b"$argon2id$" in stored


async def test_an_own_key_is_encrypted_and_bound_to_its_user(
    database: Database, path: Path
) -> None:
    first, second = await database.users.create("x"), await database.users.create("y")
    user = await database.users.set_sign_key(first.user_id, KEY)
    assert user.sign_key_last4 == KEY[-4:]
    assert await database.users.sign_key(first.user_id) == KEY
    assert KEY.encode() not in raw(path)
    key_file = path.with_name(path.name + ".key")
    assert mode(key_file) == mode(path) == 0o600
    with sqlite3.connect(path) as other:
        other.execute("UPDATE users SET sign_key = (SELECT sign_key FROM users WHERE user_id = 1)")
    other.close()
    with pytest.raises(StoreUnavailable):
        await database.users.sign_key(second.user_id)


async def test_another_key_file_opens_nothing_and_says_so(path: Path) -> None:
    database = await Database.open(path, serving=False)
    user = await database.users.create("x")
    await database.users.set_sign_key(user.user_id, KEY)
    await database.close()
    path.with_name(path.name + ".key").write_bytes(b"k" * 32)
    database = await Database.open(path, serving=False)
    with pytest.raises(StoreUnavailable, match="is not this database's key"):
        await database.users.sign_key(user.user_id)
    await database.close()


# ---- codes and tokens


async def test_a_code_works_once_however_it_is_typed(database: Database) -> None:
    user = await database.users.create("x")
    code = await database.users.add_pairing_code(user.user_id)
    typed = f" {code.lower().replace('-', ' ')} "
    assert (await database.users.redeem_pairing_code(typed))[0] == user.user_id
    with pytest.raises(CodeUsed):
        await database.users.redeem_pairing_code(code)
    with pytest.raises(CodeUnknown):
        await database.users.redeem_pairing_code("AAAA-AAAA-AAAA")


async def test_of_twenty_at_once_one_gets_the_code(database: Database) -> None:
    user = await database.users.create("x")
    code = await database.users.add_pairing_code(user.user_id)
    outcomes = await asyncio.gather(
        *(database.users.redeem_pairing_code(code) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CodeUsed) for outcome in outcomes) == 19


async def test_a_code_of_the_console_pairs_no_phone_and_the_other_way_round(
    database: Database,
) -> None:
    user = await database.users.create("x")
    with pytest.raises(CodeUnknown):
        await database.users.redeem_pairing_code(await database.sessions.add_login_code())
    with pytest.raises(CodeUnknown):
        await database.sessions.redeem_login_code(
            await database.users.add_pairing_code(user.user_id)
        )


async def test_after_ten_minutes_a_code_is_used_up(database: Database, path: Path) -> None:
    user = await database.users.create("x")
    code = await database.users.add_pairing_code(user.user_id)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE codes SET expires_at = expires_at - 601")
    other.close()
    with pytest.raises(CodeUsed):
        await database.users.redeem_pairing_code(code)


async def test_every_change_of_users_and_tokens_moves_the_revision(database: Database) -> None:
    seen = [await database.users.revision()]

    async def moved() -> None:
        seen.append(await database.users.revision())
        assert seen[-1] > seen[-2]

    user = await database.users.create("x")
    await moved()
    token = await database.users.add_token(user.user_id)
    await moved()
    await database.users.set_tiktok_username(user.user_id, "anna")
    await moved()
    owner = await database.users.find_token(token)
    assert owner is not None
    await database.users.revoke_token(owner.token_hash)
    await moved()
    await database.users.delete(user.user_id)
    await moved()


async def test_a_deleted_user_leaves_nothing_and_no_id_is_given_again(
    database: Database, path: Path
) -> None:
    user = await database.users.create("x")
    token = await database.users.add_token(user.user_id)
    await database.users.add_pairing_code(user.user_id)
    await database.visits.open(user.user_id, "anna", 1)
    await database.log.append([chat(1, user_id=user.user_id), chat(2)])
    assert await database.users.delete(user.user_id)
    assert not await database.users.delete(user.user_id)
    assert await database.users.find_token(token) is None
    assert [entry.id for entry in await database.log.page()] == [2]
    with sqlite3.connect(path) as other:
        for table in ("tokens", "codes", "visits"):
            assert other.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    other.close()
    assert (await database.users.create("y")).user_id > user.user_id
    with pytest.raises(UserUnknown):
        await database.users.add_token(user.user_id)


# ---- the log


async def test_ids_are_never_given_twice_whatever_ends_the_server(path: Path) -> None:
    given: set[int] = set()
    for _ in range(5):
        database = await Database.open(path, serving=True)
        first = await database.log.reserve_ids(100)
        block = set(range(first, first + 100))
        assert not block & given
        given |= block
        await database.close()


async def test_an_unclean_end_is_noticed_with_the_newest_id_it_may_have_given(
    path: Path,
) -> None:
    database = await Database.open(path, serving=True)
    assert await database.log.mark_running() is None
    first = await database.log.reserve_ids(100)
    await database.close()  # without mark_clean, as when the process is killed
    database = await Database.open(path, serving=True)
    assert await database.log.mark_running() == first + 99
    await database.log.mark_clean()
    await database.close()
    database = await Database.open(path, serving=True)
    assert await database.log.mark_running() is None
    await database.close()


async def test_an_epoch_is_a_creators_own_and_outlives_the_server(path: Path) -> None:
    database = await Database.open(path, serving=True)
    anna, boris = await database.log.epoch("anna"), await database.log.epoch("boris")
    assert anna != boris
    assert len({await database.log.epoch("new") for _ in range(3)}) == 1
    await database.close()
    database = await Database.open(path, serving=True)
    assert await database.log.epoch("anna") == anna
    await database.close()


async def test_pruning_takes_what_is_too_old_and_what_is_too_much(database: Database) -> None:
    day_ms = 86_400_000
    count = CHUNK_ROWS + 500
    await database.log.append([chat(number) for number in range(1, count + 1)])
    removed = await database.log.prune(keep_days=10**4, max_rows=300, now_ms=day_ms)
    assert removed == count - 300
    assert (await database.log.page(limit=1000))[-1].id == count - 299
    assert await database.log.prune(keep_days=1, max_rows=300, now_ms=10 * day_ms) == 300
    assert await database.log.page() == []


async def test_visits_to_rows_that_are_gone_are_forgotten_and_open_ones_kept(
    database: Database, path: Path
) -> None:
    user = await database.users.create("x")
    await database.log.append([chat(number) for number in range(1, 11)])
    for from_id, to_id in ((1, 3), (4, 7), (8, 0)):
        visit = await database.visits.open(user.user_id, "anna", from_id)
        if to_id:
            await database.visits.close(visit, to_id)
    await database.log.prune(keep_days=10**4, max_rows=5, now_ms=1)
    with sqlite3.connect(path) as other:
        left = other.execute("SELECT from_id FROM visits ORDER BY from_id").fetchall()
    other.close()
    assert left == [(4,), (8,)]


async def test_a_user_sees_own_rows_and_the_rooms_during_visits_only(
    database: Database,
) -> None:
    user, other = await database.users.create("x"), await database.users.create("y")
    await database.log.append(
        [chat(number, creator="anna" if number % 2 else "boris") for number in range(1, 21)]
        + [chat(21, user_id=user.user_id), chat(22, user_id=other.user_id)]
    )
    visit = await database.visits.open(user.user_id, "anna", 5)
    await database.visits.close(visit, 9)
    await database.visits.open(user.user_id, "boris", 18)
    seen = await database.visits.page(user.user_id, before=None, limit=100)
    assert [entry.id for entry in seen] == [21, 20, 18, 9, 7, 5]
    assert [entry.id for entry in await database.visits.page(user.user_id, before=18, limit=2)] == [
        9,
        7,
    ]


async def test_a_row_that_is_there_stays_as_it_is(database: Database) -> None:
    await database.log.append([chat(1)])
    await database.log.append([chat(1, creator="other"), chat(2)])
    first = await database.log.get(1)
    assert first is not None
    assert first.creator == "anna"
    assert await database.log.get(2) is not None


async def test_the_export_reads_a_span_of_time_in_order(database: Database) -> None:
    count = CHUNK_ROWS * 2 + 7
    await database.log.append([chat(number) for number in range(1, count + 1)])
    read = [e.id async for e in database.log.export(LogQuery(since_ms=2000, until_ms=1000 * count))]
    assert read == list(range(2, count))


# ---- trouble


async def test_a_cancelled_write_is_whole_or_not_at_all(database: Database) -> None:
    user = await database.users.create("x")
    writes = [
        asyncio.ensure_future(database.users.redeem_pairing_code(code))
        for code in [await database.users.add_pairing_code(user.user_id) for _ in range(10)]
    ]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    await database.users.create("y")  # the connection is in no half transaction
    assert len(await database.users.all()) == 2


async def test_a_full_disk_is_told_and_nothing_is_half_written(
    database: Database, path: Path
) -> None:
    await database.log.append([chat(1)])
    writer = database.log._writer._connection
    cursor = await writer.execute("PRAGMA page_count")
    (pages,) = await cursor.fetchone()  # type: ignore[misc]
    await writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
        await database.log.append([chat(number) for number in range(2, 5000)])
    assert [entry.id for entry in await database.log.page()] == [1]
    await writer.execute("PRAGMA max_page_count = 1000000")
    await database.log.append([chat(2)])
    assert [entry.id for entry in await database.log.page()] == [2, 1]


async def test_a_second_server_is_refused_and_a_command_is_not(
    database: Database, path: Path
) -> None:
    with pytest.raises(StartupError, match="another LiveRelay server"):
        await Database.open(path, serving=True)
    beside = await Database.open(path, serving=False)
    await beside.users.create("x")
    await beside.close()
    assert len(await database.users.all()) == 1


# ---- migrations


def scripts(folder: Path, *bodies: str) -> Path:
    """The real migrations, and these after them."""
    folder.mkdir()
    real = sorted(migrate.MIGRATIONS.glob("*.sql"))
    for script in real:
        (folder / script.name).write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    for number, body in enumerate(bodies, start=len(real) + 1):
        (folder / f"{number:04}_next.sql").write_text(body, encoding="utf-8")
    return folder


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_a_migration_runs_once_with_a_backup_before_it(tmp_path: Path, path: Path) -> None:
    migrate.prepare(path)
    today = version(path)
    newer = scripts(tmp_path / "m", "CREATE TABLE added (a) ;")
    migrate.prepare(path, newer)
    migrate.prepare(path, newer)
    assert version(path) == today + 1
    backup = path.with_name(f"{path.name}.backup-v{today}")
    assert version(backup) == today
    assert mode(backup) == 0o600


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path, path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    script = migrate.MIGRATIONS / "0001_first.sql"
    (first / script.name).write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    migrate.prepare(path, first)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO users (name, created_at) VALUES ('kept', 1)")
    connection.commit()
    connection.close()
    migrate.prepare(path)
    assert version(path) == len(list(migrate.MIGRATIONS.glob("*.sql")))
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM users").fetchall() == [("kept",)]
    connection.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path, path: Path) -> None:
    migrate.prepare(path)
    today = version(path)
    broken = scripts(tmp_path / "m", "CREATE TABLE added (a); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(StartupError, match="nowhere"):
        migrate.prepare(path, broken)
    assert version(path) == today
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]
    connection.close()
    assert "added" not in names
    migrate.prepare(path)
