"""Users as they were last read, so that a phone that comes back costs the disk nothing."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from server.store.users import User, Users

#: Users remembered; the one not asked for the longest is forgotten first.
MAX_USERS: Final = 20_000


class KnownUser(NamedTuple):
    """A user, and the own EulerStream key, "" when there is none."""

    user: User
    sign_key: str


class UserCache:
    """Whoever changes a user calls forget(); what other processes change is noticed by app.py."""

    def __init__(self, users: Users, *, max_users: int = MAX_USERS) -> None:
        self._users = users
        self._max_users = max_users
        self._known: OrderedDict[int, KnownUser] = OrderedDict()
        self._forgotten = 0

    async def get(self, user_id: int) -> KnownUser | None:
        """One user, from the store if need be. Raises StoreUnavailable."""
        known = self._known.get(user_id)
        if known is not None:
            self._known.move_to_end(user_id)
            return known
        forgotten = self._forgotten
        user = await self._users.get(user_id)
        if user is None:
            return None
        known = KnownUser(user, await self._users.sign_key(user_id))
        if forgotten == self._forgotten:  # else it may have changed while we looked
            self._known[user_id] = known
            if len(self._known) > self._max_users:
                self._known.popitem(last=False)
        return known

    def forget(self) -> None:
        """Ask the store again: users changed."""
        self._known.clear()
        self._forgotten += 1
