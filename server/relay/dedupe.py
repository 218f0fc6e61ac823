"""Messages seen: TikTok repeats some, after a reconnect or without a reason."""

from __future__ import annotations

from typing import Final

#: TikTok repeats what is seconds old; this holds minutes of a busy room.
MAX_SEEN: Final = 8192


class SeenMessages:
    """The newest message ids of one room."""

    def __init__(self) -> None:
        self._ids: dict[int, None] = {}

    def add(self, msg_id: int) -> bool:
        """True when the message is new; one without an id (0) always is."""
        if msg_id == 0:
            return True
        if msg_id in self._ids:
            return False
        self._ids[msg_id] = None
        if len(self._ids) > MAX_SEEN:
            del self._ids[next(iter(self._ids))]
        return True
