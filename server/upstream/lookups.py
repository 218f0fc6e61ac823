"""The unsigned look-ups: is the creator live, and in which room. They cost no signature.

The same steps as TikTokLive's own start (page, then API, then live check), without its bare
`except` that swallows a cancellation. Imports the library; see client.py.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from TikTokLive.client.errors import UserOfflineError
from TikTokLive.client.web.web_client import TikTokWebClient

from server.config import Config
from server.errors import CreatorOffline
from server.upstream.client import prepare_web, release_web, web_arguments
from server.upstream.failures import Stage, classify
from server.upstream.http import Attempt

#: Page, API and live check have httpx's own time-outs per read; a dripping answer needs this one.
LOOK_UP_TIMEOUT_S: Final = 15.0


async def live_room_id(config: Config, creator: str) -> int:
    """The id of the room in which `creator` is live.

    Raises CreatorOffline, CreatorNotFound, Blocked or ConnectFailed.
    """
    attempt = Attempt()
    web = TikTokWebClient(**web_arguments(config, attempt, key=""))
    prepare_web(web, config, attempt)
    try:
        async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
            room_id = await _room_id(web, creator)
            alive = await web.fetch_is_live.fetch_is_live_room_ids(room_id)
        if not alive[0]:
            raise UserOfflineError
        return room_id
    except UserOfflineError:
        raise CreatorOffline(subject=creator) from None
    except Exception as error:
        raise classify(error, Stage.LOOKUP, attempt.answers, now=time.time()) from error
    finally:
        await release_web(web)


async def still_live(config: Config, room_id: int) -> bool:
    """One unsigned live check of a room. Raises Blocked or ConnectFailed."""
    attempt = Attempt()
    web = TikTokWebClient(**web_arguments(config, attempt, key=""))
    prepare_web(web, config, attempt)
    try:
        async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
            alive = await web.fetch_is_live.fetch_is_live_room_ids(room_id)
        return bool(alive[0])
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
