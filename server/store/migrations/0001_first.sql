-- Users and their phones, the console's staff, and the event log.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES ('revision', 0), ('next_id', 1), ('running', 0);

-- Ids are never reused: a deleted user's log rows must not become somebody else's.
CREATE TABLE users (
    user_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT    NOT NULL,
    tiktok_username TEXT    NOT NULL DEFAULT '',
    lang            TEXT    NOT NULL DEFAULT '',
    sign_key        BLOB,
    sign_key_last4  TEXT    NOT NULL DEFAULT '',
    paired          INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    token_hash BLOB    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_of_user ON tokens (user_id);

-- Pairing codes (user_id set) and the console's login codes (user_id null).
CREATE TABLE codes (
    code_hash  BLOB    PRIMARY KEY,
    user_id    INTEGER REFERENCES users (user_id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_of_user ON codes (user_id);

CREATE TABLE console_sessions (
    token_hash BLOB    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    creator TEXT PRIMARY KEY,
    epoch   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    ts      INTEGER NOT NULL,
    type    TEXT    NOT NULL,
    level   TEXT    NOT NULL,
    creator TEXT    NOT NULL,
    user_id INTEGER NOT NULL,
    code    TEXT    NOT NULL,
    ref     TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    frame   TEXT    NOT NULL
) STRICT;
CREATE INDEX events_of_creator ON events (creator, id);
CREATE INDEX events_of_type ON events (type, id);
CREATE INDEX events_of_user ON events (user_id, id) WHERE user_id <> 0;
CREATE INDEX events_by_ref ON events (ref) WHERE ref <> '';
CREATE INDEX events_by_time ON events (ts);

-- Which ids of which room's log a user's phones were given; to_id 0 while it goes on.
CREATE TABLE visits (
    visit_id INTEGER PRIMARY KEY,
    user_id  INTEGER NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    creator  TEXT    NOT NULL,
    from_id  INTEGER NOT NULL,
    to_id    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX visits_of_user ON visits (user_id, from_id);

-- A running server polls the revision to notice what a command beside it has changed.
CREATE TRIGGER users_added   AFTER INSERT ON users  BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
CREATE TRIGGER users_changed AFTER UPDATE ON users  BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
CREATE TRIGGER users_deleted AFTER DELETE ON users  BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
CREATE TRIGGER tokens_added   AFTER INSERT ON tokens BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
CREATE TRIGGER tokens_deleted AFTER DELETE ON tokens BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
