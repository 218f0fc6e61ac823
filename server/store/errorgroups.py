"""Errors of the log, added up by kind and creator."""

from __future__ import annotations

from typing import Final, NamedTuple

from server.store.link import Link

HOUR_MS: Final = 3_600_000


class ErrorGroup(NamedTuple):
    """One kind of error of one creator. Times in ms; `by_hour` counts the hours from the start.

    One failure is told to every phone of its room under one reference, and counts once.
    """

    code: str
    creator: str
    failures: int
    users: int
    first_ts: int
    last_ts: int
    last_id: int
    by_hour: dict[int, int]


class ErrorGroups:
    """Reads them. Methods raise StoreUnavailable."""

    def __init__(self, reader: Link) -> None:
        self._reader = reader

    async def since(self, since_ms: int, *, limit: int) -> list[ErrorGroup]:
        """Groups with an error since a moment, the latest first."""
        rows = await self._reader.rows(
            "SELECT code, creator, count(DISTINCT ref), count(DISTINCT nullif(user_id, 0)), "
            "min(ts), max(ts), max(id) FROM events "
            "WHERE type = 'error' AND ts >= ? GROUP BY code, creator ORDER BY max(id) DESC LIMIT ?",
            (since_ms, limit),
        )
        hours = await self._reader.rows(
            "SELECT code, creator, (ts - ?) / ?, count(DISTINCT ref) FROM events "
            "WHERE type = 'error' AND ts >= ? GROUP BY 1, 2, 3",
            (since_ms, HOUR_MS, since_ms),
        )
        by_hour: dict[tuple[str, str], dict[int, int]] = {}
        for code, creator, hour, failures in hours:
            by_hour.setdefault((code, creator), {})[hour] = failures
        return [
            ErrorGroup(*row[:7], by_hour=by_hour.get((row[0], row[1]), {}))  # type: ignore[misc]
            for row in rows
        ]
