-- Every WebSocket of a phone: what it said of itself, what it asked for, how it ended; closed_at 0 while it is open.
CREATE TABLE connections (
    connection_id INTEGER PRIMARY KEY,
    user_id       INTEGER NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    phone         TEXT    NOT NULL,
    ip            TEXT    NOT NULL,
    platform      TEXT    NOT NULL,
    os            TEXT    NOT NULL,
    device        TEXT    NOT NULL,
    lang          TEXT    NOT NULL,
    types         TEXT    NOT NULL,
    combo         TEXT    NOT NULL,
    since_id      INTEGER,
    opened_at     INTEGER NOT NULL,
    closed_at     INTEGER NOT NULL DEFAULT 0,
    close_code    INTEGER NOT NULL DEFAULT 0,
    close_reason  TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX connections_of_user ON connections (user_id, connection_id);

-- Which ids of which room's log a connection was handed, in order; statuses only after live_from, for a
-- replay leaves old ones out. to_id 0 while it goes on.
CREATE TABLE stays (
    stay_id       INTEGER PRIMARY KEY,
    connection_id INTEGER NOT NULL REFERENCES connections (connection_id) ON DELETE CASCADE,
    creator       TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    began_at      INTEGER NOT NULL,
    from_id       INTEGER NOT NULL,
    live_from     INTEGER NOT NULL,
    to_id         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX stays_of_connection ON stays (connection_id);

-- Of a row that one phone was told: its connection. 0: every phone of the user, or of the room.
ALTER TABLE events ADD COLUMN connection_id INTEGER NOT NULL DEFAULT 0;
