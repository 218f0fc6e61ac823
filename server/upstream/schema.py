"""TikTok's messages, pruned to what is relayed, as classes on protobuf's C core.

Loaded from schema.binpb, which tools/make_schema.py generates from TikTokLiveProto's metadata.
Texts are bytes here: see decode.text().
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE: Final = "liverelay.tiktok"
FILE: Final = Path(__file__).with_name("schema.binpb")


def _load() -> dict[str, Any]:
    # A pool of our own: the default one belongs to whoever else uses protobuf in the process.
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto.FromString(FILE.read_bytes())
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in names
    }


#: Message name -> class.
MESSAGES: Final = _load()
PushFrame: Final = MESSAGES["WebcastPushFrame"]
FetchResult: Final = MESSAGES["ProtoMessageFetchResult"]
