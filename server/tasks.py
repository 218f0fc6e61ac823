"""Tasks with an owner: the only place that starts one.

asyncio keeps only a weak reference to a task and reports its exception when it is collected, if
ever. An owner keeps the reference, logs what escaped, and ends what is left when it closes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: How long a cancelled task may take over its cleanup before its owner gives up on it.
CANCEL_GRACE_S: Final = 5.0


class TaskOwner:
    """A set of running tasks that end when their owner does. `name` appears in the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` in a task of its own; what it raises is logged with its traceback."""
        task = asyncio.create_task(work, name=f"{self._name}: {name}")  # noqa: TID251  the owner
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Task %s failed", task.get_name(), exc_info=error)

    async def drained(self, timeout_s: float = CANCEL_GRACE_S) -> None:
        """Wait until nothing runs any more, at most `timeout_s`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def close(self) -> None:
        """Cancel what still runs and wait for it, at most CANCEL_GRACE_S."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=CANCEL_GRACE_S)
            for task in stuck:
                logger.error("Task %s does not end", task.get_name())
