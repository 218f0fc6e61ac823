"""Make server/upstream/schema.binpb: the part of TikTok's messages that is relayed.

    python tools/make_schema.py            writes the file
    python tools/make_schema.py --check    fails when it differs from the installed TikTokLiveProto

Numbers and types come from TikTokLiveProto's own field metadata; only the choice of fields is ours.
Texts become `bytes`: a nickname with broken UTF-8 must not cost the message it is in.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from TikTokLiveProto.v3.webcast.im import WebcastPushFrame
from TikTokLiveProto.v3.webcast.model.message import (
    WebcastBarrageMessage,
    WebcastChatMessage,
    WebcastControlMessage,
    WebcastEmoteChatMessage,
    WebcastGiftMessage,
    WebcastLikeMessage,
    WebcastLinkMicArmies,
    WebcastLinkMicBattle,
    WebcastMemberMessage,
    WebcastQuestionNewMessage,
    WebcastRoomUserSeqMessage,
    WebcastSocialMessage,
    WebcastSubNotifyMessage,
)
from TikTokLiveProto.v3.webcast.model.message.redenvelope import WebcastEnvelopeMessage
from TikTokLiveProto.v3.webcast.shared.message import ProtoMessageFetchResult

TARGET: Final = Path(__file__).parents[1] / "server" / "upstream" / "schema.binpb"
PACKAGE: Final = "liverelay.tiktok"

#: Fields wanted: a name alone is a value, with a dict a message of which these are wanted.
Wanted = dict[str, Any]

IMAGE: Final[Wanted] = {"url_list": 1}
USER: Final[Wanted] = {
    "id": 1,
    "nickname": 1,
    "display_id": 1,
    "avatar_thumb": IMAGE,
    "follow_info": {"follow_status": 1},
    "badge_list": {"scene_type": 1, "privilege_log_extra": {"level": 1}},
}
COMMON: Final[Wanted] = {"msg_id": 1, "display_text": {"key": 1}}
IDENTITY: Final[Wanted] = {
    "is_subscriber_of_anchor": 1,
    "is_follower_of_anchor": 1,
    "is_moderator_of_anchor": 1,
}
EMOTE: Final[Wanted] = {"image": IMAGE}
ARMY: Final[Wanted] = {"hostscore": 1}

WANTED: Final[dict[type, Wanted]] = {
    WebcastPushFrame: {
        "log_id": 1,
        "headers": {"key": 1, "value": 1},
        "payload_encoding": 1,
        "payload_type": 1,
        "payload": 1,
    },
    ProtoMessageFetchResult: {
        "messages": {"method": 1, "payload": 1, "is_history": 1},
        "cursor": 1,
        "internal_ext": 1,
        "route_params": {"key": 1, "value": 1},
        "need_ack": 1,
        "push_server": 1,
        "is_first": 1,
    },
    WebcastChatMessage: {
        "common": COMMON,
        "user": USER,
        "content": 1,
        "emotes": {"index": 1, "emote": EMOTE},
        "user_identity": IDENTITY,
    },
    WebcastGiftMessage: {
        "common": COMMON,
        "gift_id": 1,
        "repeat_count": 1,
        "user": USER,
        "to_user": {"id": 1, "display_id": 1},
        "repeat_end": 1,
        "group_id": 1,
        "gift": {"image": IMAGE, "name": 1, "type": 1, "diamond_count": 1},
        "user_identity": IDENTITY,
    },
    WebcastLikeMessage: {"common": COMMON, "user": USER, "count": 1, "total": 1},
    WebcastMemberMessage: {"common": COMMON, "user": USER, "action": 1},
    WebcastBarrageMessage: {
        "common": COMMON,
        "msg_type": 1,
        "user": USER,
        "user_grade_param": {"user": USER},
        "fans_level_param": {"user": USER},
    },
    WebcastRoomUserSeqMessage: {"common": COMMON, "total": 1, "total_user": 1},
    WebcastSocialMessage: {"common": COMMON, "user": USER, "action": 1},
    WebcastSubNotifyMessage: {"common": COMMON, "user": USER},
    WebcastQuestionNewMessage: {"common": COMMON, "data": {"content": 1, "user": USER}},
    WebcastEmoteChatMessage: {
        "common": COMMON,
        "user": USER,
        "emote_list": EMOTE,
        "user_identity": IDENTITY,
    },
    WebcastEnvelopeMessage: {
        "common": COMMON,
        "envelope_info": {
            "send_user_name": 1,
            "diamond_count": 1,
            "send_user_id": 1,
            "send_user_avatar": IMAGE,
        },
        "display": 1,
    },
    WebcastLinkMicBattle: {
        "common": COMMON,
        "action": 1,
        "armies": {"key": 1, "value": ARMY},
        "anchors_info": {"key": 1, "value": {"user": {"user_id": 1, "display_id": 1}}},
    },
    WebcastLinkMicArmies: {"common": COMMON, "armies": {"value": ARMY}},
    WebcastControlMessage: {"common": COMMON, "action": 1},
}

_Field = FieldDescriptorProto
TYPES: Final = {
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "bool": _Field.TYPE_BOOL,
    "enum": _Field.TYPE_INT32,
    "string": _Field.TYPE_BYTES,
    "bytes": _Field.TYPE_BYTES,
}


class _Builder:
    """Collects message descriptors; the same class with the same wishes is described once."""

    def __init__(self) -> None:
        self.file = FileDescriptorProto(
            name="liverelay/tiktok.proto", package=PACKAGE, syntax="proto3"
        )
        self._known: dict[tuple[type, str], str] = {}

    def add(self, cls: type, wanted: Wanted) -> str:
        """Describe `cls` with the wanted fields; returns its name."""
        wishes = repr(wanted)
        if (cls, wishes) in self._known:
            return self._known[cls, wishes]
        taken = set(self._known.values())
        name = cls.__name__ if cls.__name__ not in taken else f"{cls.__name__}{len(taken)}"
        self._known[cls, wishes] = name
        described = DescriptorProto(name=name)
        schema = cls()._betterproto
        for field_name, inner in wanted.items():
            meta = schema.meta_by_field_name[field_name]
            if meta.proto_type == "map":
                self._add_map(described, field_name, meta, schema, inner)
                continue
            field = described.field.add(
                name=field_name,
                number=meta.number,
                label=_Field.LABEL_REPEATED if meta.repeated else _Field.LABEL_OPTIONAL,
            )
            if meta.proto_type == "message":
                field.type = _Field.TYPE_MESSAGE
                field.type_name = self._name(schema.cls_by_field[field_name], inner)
            else:
                field.type = TYPES[meta.proto_type]
        self.file.message_type.append(described)
        return name

    def _add_map(
        self, described: DescriptorProto, field_name: str, meta: Any, schema: Any, inner: Wanted
    ) -> None:
        """A map is a repeated message of key and value; a real map would refuse nothing we need."""
        key, value = meta.map_meta
        entry = described.nested_type.add(name=f"{field_name.title()}Pair")
        entry.field.add(
            name="key", number=1, label=_Field.LABEL_OPTIONAL, type=TYPES[key.proto_type]
        )
        field = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL)
        if value.proto_type == "message":
            field.type = _Field.TYPE_MESSAGE
            field.type_name = self._name(schema.cls_by_field[f"{field_name}.value"], inner["value"])
        else:
            field.type = TYPES[value.proto_type]
        described.field.add(
            name=field_name,
            number=meta.number,
            label=_Field.LABEL_REPEATED,
            type=_Field.TYPE_MESSAGE,
            type_name=f".{PACKAGE}.{described.name}.{entry.name}",
        )

    def _name(self, cls: type, wanted: Wanted) -> str:
        return f".{PACKAGE}.{self.add(cls, wanted)}"


def build() -> bytes:
    """The schema as a serialised FileDescriptorProto."""
    builder = _Builder()
    for cls, wanted in WANTED.items():
        builder.add(cls, wanted)
    return builder.file.SerializeToString(deterministic=True)


def main() -> int:
    """Write or check the file; the exit status."""
    made = build()
    if "--check" in sys.argv[1:]:
        same = TARGET.read_bytes() == made
        print("same" if same else f"{TARGET} differs from the installed TikTokLiveProto")
        return 0 if same else 1
    TARGET.write_bytes(made)
    print(f"{TARGET}: {len(made)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
