"""TikTok: a stand-in for TikTok LIVE and its sign server, speaking their protocol over loopback.

The real TikTokLive library connects to it unmodified, so a test drives the whole way from the
look-ups over the signature to the push socket. What each part does when it works and when it does
not follows measurements of the real ones. By hand: python -m tests.tiktok
"""

from tests.tiktok import frames, gifts
from tests.tiktok.creator import Creator, Script
from tests.tiktok.message import Message
from tests.tiktok.people import Person
from tests.tiktok.sign import SignAnswer, SignRequest
from tests.tiktok.world import TikTok

__all__ = [
    "Creator",
    "Message",
    "Person",
    "Script",
    "SignAnswer",
    "SignRequest",
    "TikTok",
    "frames",
    "gifts",
]
