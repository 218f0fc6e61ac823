"""One supervised connection to one creator: opened once, watched, and taken down without a trace.

The library's `start()` runs in a task of its own under our deadlines; the task it returns is what
is watched, for the library tells of few ends by event. Imports the library; see client.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from server.config import Config
from server.errors import AppError, ConnectFailed, SignUnavailable
from server.events import Control, Received
from server.logs import quiet_library_loggers
from server.tasks import TaskOwner
from server.upstream import decode
from server.upstream.client import RelayClient
from server.upstream.failures import Stage, classify
from server.upstream.http import Attempt

logger = logging.getLogger(__name__)

#: The first result must follow the signature within this; without `is_first` it never comes.
FIRST_RESULT_TIMEOUT_S: Final = 10.0
#: TikTok answers at once when it lets us in; a connection that it ends before was refused.
PROOF_TIMEOUT_S: Final = 1.0
#: Results kept meanwhile.
MAX_HELD: Final = 100
#: The variant of a failure that was TikTok's no.
REFUSED: Final = "refused"
#: Heartbeats are answered: no bytes for this many intervals is a dead socket.
SILENT_INTERVALS: Final = 3
MAX_SILENCE_S: Final = 45.0
#: A connection that ends this soon without an event was refused, whatever its close code says.
REFUSED_WITHIN_S: Final = 2.0
#: How long a cancelled connection may take to close before its transport is aborted.
CLOSE_GRACE_S: Final = 1.5

#: Called with what one frame held, in order.
OnReceived = Callable[[Sequence[Received]], None]


class Source:
    """The stream of one room of TikTok's, from signature to end."""

    def __init__(
        self,
        config: Config,
        creator: str,
        room_id: int,
        *,
        key: str,
        on_opened: Callable[[], None],
        on_received: OnReceived,
        on_bad: Callable[[], None],
    ) -> None:
        self._config = config
        self._creator = creator
        self._room_id = room_id
        self._on_opened = on_opened
        self._on_received = on_received
        self._on_bad = on_bad
        self._attempt = Attempt()
        self._client = RelayClient(config, creator, key=key, attempt=self._attempt, heard=self)
        quiet_library_loggers()
        self._tasks = TaskOwner(f"source @{creator}")
        self._stream: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._proved = asyncio.Event()
        self._opened_at = 0.0
        #: When a frame with messages last came (monotonic seconds).
        self.heard_at = 0.0
        #: TikTok has said that the live is over.
        self.ended = False
        #: Something has happened in the live.
        self.heard_events = False
        self._open = False
        self._held: list[Sequence[Received]] = []

    @property
    def signature_unspent(self) -> bool:
        """No connection to the sign server could be made, so it has counted nothing."""
        return "sign" in self._attempt.unreached

    @property
    def falls_back(self) -> bool:
        """The stream comes from the sign server's own socket, which may withhold events."""
        return self._client.falls_back

    async def open(self, timeout_s: float) -> None:
        """Sign, connect, and wait until TikTok lets us in. Raises AppError; close() in any case."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        self._stream = await self._start(timeout_s)
        await self._either(self._first, min(deadline, self._soon(FIRST_RESULT_TIMEOUT_S)))
        if not self._first.is_set():
            if self._stream.done():
                raise self._error(_outcome(self._stream), Stage.PUSH)
            raise self._error(TimeoutError("no first result"), Stage.PUSH)
        # Where nothing comes at all, the stream is watched as a silent one.
        await self._either(self._proved, self._soon(PROOF_TIMEOUT_S))
        if self._stream.done() and not self._proved.is_set():
            raise self._refused(_outcome(self._stream))
        self._opened_at = self.heard_at = time.monotonic()
        self._open = True
        self._on_opened()
        held, self._held = self._held, []
        for received in held:
            self._relay(received)

    async def run(self) -> AppError | None:
        """Wait for the end: None when TikTok has ended the live, else why the stream was lost."""
        if self._stream is None:
            raise RuntimeError("run() before open()")
        while not self._stream.done() and not self.ended:
            done, _ = await asyncio.wait({self._stream}, timeout=self._patience_s())
            if not done and self._silent_for() >= self._patience_s():
                return ConnectFailed(f"no bytes for {self._silent_for():.0f} s")
        if self.ended:
            return None
        error = _outcome(self._stream)
        lasted_s = time.monotonic() - self._opened_at
        if error is None and lasted_s < REFUSED_WITHIN_S and not self.heard_events:
            return self._refused(error)
        return self._error(error, Stage.PUSH)

    async def close(self) -> None:
        """Take everything down, also when the peer is gone; returns within a few seconds."""
        stream = self._stream
        if stream is not None and not stream.done():
            stream.cancel()
            _, stuck = await asyncio.wait({stream}, timeout=CLOSE_GRACE_S)
            if stuck:
                self._abort()
                await asyncio.wait({stream}, timeout=CLOSE_GRACE_S)
        if stream is not None and stream.done():
            _outcome(stream)  # read, or asyncio complains
        await self._tasks.close()
        self._abort()
        await self._client.release()

    async def _start(self, timeout_s: float) -> asyncio.Task[None]:
        """Run the library's start() under our deadline: its sign request has none that holds."""
        work = self._tasks.start(self._guarded_start(), name="start")
        await asyncio.wait({work}, timeout=min(self._config.sign.timeout_s + 1.0, timeout_s))
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=CLOSE_GRACE_S)
            raise self._error(TimeoutError("no signature"), Stage.SIGN)
        outcome = work.result()
        if isinstance(outcome, asyncio.Task):
            return outcome
        raise self._error(outcome, Stage.SIGN)

    async def _guarded_start(self) -> asyncio.Task[None] | Exception:
        """start()'s task, or what it raised: an outcome to classify, not a failed task of ours."""
        try:
            stream: asyncio.Task[None] = await self._client.start(
                room_id=self._room_id, fetch_live_check=False
            )
        except Exception as error:
            return error
        return stream

    async def _either(self, event: asyncio.Event, deadline: float) -> None:
        """Wait for an event, the stream's end, or a time of the loop's clock."""
        waiting = self._tasks.start(_wait_for(event), name="event")
        timeout = max(0.0, deadline - asyncio.get_running_loop().time())
        done_first = asyncio.FIRST_COMPLETED
        if self._stream is not None:
            await asyncio.wait({self._stream, waiting}, timeout=timeout, return_when=done_first)
        waiting.cancel()

    def _soon(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds

    def on_frame(self) -> None:
        """TikTok has let us in: it answers."""
        self._proved.set()

    def on_bad_frame(self) -> None:
        """A frame could not be read."""
        self._on_bad()

    def on_result(self, result: Any) -> None:
        """Decode one fetch result; never raises, for that would end the library's task."""
        first = bool(result.is_first)
        received: list[Received] = []
        for message in self._attempt.history if first else result.messages:
            try:
                item = decode.decode(
                    message.method, message.payload, history=first or message.is_history
                )
            except decode.BadPayload:
                self._on_bad()
                continue
            if item is not None:
                received.append(item)
        self.heard_at = time.monotonic()
        if first:
            self._first.set()
        news = [item.event for item in received if not item.history]
        if news:
            self.heard_events = True
        if any(isinstance(event, Control) and event.change == "ended" for event in news):
            self.ended = True
        if self._open:
            self._relay(received)
        elif len(self._held) < MAX_HELD:
            self._held.append(received)
        if self.ended and self._stream is not None:
            # Not the library's own disconnect(): against a silent peer it takes 30 s.
            self._stream.cancel()

    def _relay(self, received: Sequence[Received]) -> None:
        try:
            self._on_received(received)
        except Exception:
            logger.exception("A frame of @%s could not be relayed", self._creator)

    def _silent_for(self) -> float:
        protocol = self._client.protocol
        if protocol is None:
            return 0.0
        return asyncio.get_running_loop().time() - protocol.bytes_at

    def _patience_s(self) -> float:
        return min(SILENT_INTERVALS * self._client.ping_interval_s, MAX_SILENCE_S)

    def _abort(self) -> None:
        protocol = self._client.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()

    def _refused(self, error: BaseException | None) -> AppError:
        """TikTok has ended the connection at once; without an error that is a no as well."""
        if error is None:
            return ConnectFailed("closed at once: refused", variant=REFUSED)
        return self._error(error, Stage.PUSH)

    def _error(self, error: BaseException | None, stage: Stage) -> AppError:
        failure = classify(error, stage, self._attempt.answers, now=time.time())
        if stage is Stage.SIGN and isinstance(failure, ConnectFailed):
            return SignUnavailable(failure.detail)
        return failure


def _outcome(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()
