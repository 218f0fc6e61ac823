"""The unsigned look-ups: is the creator live, and in which room. They cost no signature.

The same steps as TikTokLive's own start (page, then API, then live check), without its bare
`except` that swallows a cancellation. Imports the library; see client.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from TikTokLive.client.errors import UserOfflineError
from TikTokLive.client.web.web_client import TikTokWebClient

from server.config import Config
from server.errors import AgeRestricted, AppError, CreatorOffline
from server.upstream.client import prepare_web, release_web, web_arguments
from server.upstream.failures import Stage, classify
from server.upstream.http import Attempt

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Page, API and live check have httpx's own time-outs per read; a dripping answer needs this one.
LOOK_UP_TIMEOUT_S: Final = 15.0


async def live_room_id(config: Config, creator: str, *, timeout_s: float) -> int:
    """The id of the room in which `creator` is live.

    Raises CreatorOffline, CreatorNotFound, Blocked or ConnectFailed.
    """

    async def look(web: TikTokWebClient) -> int:
        room_id = await _room_id(web, creator)
        alive = await web.fetch_is_live.fetch_is_live_room_ids(room_id)
        if not alive[0]:
            raise UserOfflineError
        return room_id

    try:
        return await _looked(config, look, timeout_s)
    except CreatorOffline:
        raise CreatorOffline(subject=creator) from None


async def still_live(config: Config, room_id: int) -> bool:
    """One unsigned live check of a room. Raises Blocked or ConnectFailed."""

    async def look(web: TikTokWebClient) -> bool:
        alive = await web.fetch_is_live.fetch_is_live_room_ids(room_id)
        return bool(alive[0])

    return await _looked(config, look, LOOK_UP_TIMEOUT_S)


async def check_age(config: Config, room_id: int) -> None:
    """Raise AgeRestricted if room info says that the live needs a logged-in session.

    The library raises that for broken answers too; failures.py believes it where TikTok asks for
    something. Any other trouble says nothing against the live.
    """

    async def look(web: TikTokWebClient) -> None:
        await web.fetch_room_info(room_id=room_id)

    try:
        await _looked(config, look, LOOK_UP_TIMEOUT_S)
    except AgeRestricted:
        raise
    except AppError as error:
        logger.debug("Room info of %s was not to be had: %s", room_id, error.detail)


async def _looked(
    config: Config, look: Callable[[TikTokWebClient], Awaitable[T]], timeout_s: float
) -> T:
    """One look with a client of its own. Raises AppError."""
    attempt = Attempt()
    web = TikTokWebClient(**web_arguments(config, attempt, key=""))
    prepare_web(web, config, attempt)
    try:
        async with asyncio.timeout(min(timeout_s, LOOK_UP_TIMEOUT_S)):
            return await look(web)
    except Exception as error:
        raise classify(error, Stage.LOOKUP, attempt.answers, now=time.time()) from error
    finally:
        await release_web(web)


async def _room_id(web: TikTokWebClient, creator: str) -> int:
    """From the page, else from the API: the page is often a captcha while the API answers."""
    try:
        return int(await web.fetch_room_id_from_html(creator))
    except UserOfflineError:
        raise
    except Exception as page_error:  # a captcha reads as "not found": the API has the last word
        try:
            return int(await web.fetch_room_id_from_api(creator))
        except Exception as api_error:
            raise api_error from page_error
