-- What was asked of the sign server: written before a request is sent, so that it is never below
-- what the sign server has counted. Times are milliseconds since 1970.

CREATE TABLE sign_requests (
    request_id INTEGER PRIMARY KEY,
    key_name   TEXT    NOT NULL,
    creator    TEXT    NOT NULL,
    user_id    INTEGER NOT NULL,
    again      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    outcome    TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sign_requests_by_time ON sign_requests (at);

-- Until when a key waits after a 429, and what said so; it stands until a request comes through.
-- A creator's name: that room alone waits.
CREATE TABLE sign_blocks (
    key_name TEXT    NOT NULL,
    creator  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    source   TEXT    NOT NULL,
    headers  TEXT    NOT NULL,
    PRIMARY KEY (key_name, creator)
) STRICT, WITHOUT ROWID;

-- Places kept for rooms that were told when to come back.
CREATE TABLE sign_promises (
    key_name TEXT    NOT NULL,
    creator  TEXT    NOT NULL,
    user_id  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (key_name, creator)
) STRICT, WITHOUT ROWID;

-- What phones were told of a creator, and until when they are told the same again.
CREATE TABLE cooldowns (
    creator TEXT    NOT NULL,
    user_id INTEGER NOT NULL,
    code    TEXT    NOT NULL,
    variant TEXT    NOT NULL,
    ref     TEXT    NOT NULL,
    strikes INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (creator, user_id)
) STRICT, WITHOUT ROWID;

-- TikTok's ids of lives that are over, and until when they are not believed to be live.
CREATE TABLE ended_lives (
    room_id INTEGER PRIMARY KEY,
    until   INTEGER NOT NULL
) STRICT;
