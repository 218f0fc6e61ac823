-- What was asked of the sign server: written before a request is sent, so that it is never below
-- what the sign server has counted. Times are milliseconds since 1970.

CREATE TABLE sign_requests (
    request_id INTEGER PRIMARY KEY,
    key_name   TEXT    NOT NULL,
    creator    TEXT    NOT NULL,
    user_id    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    outcome    TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sign_requests_by_time ON sign_requests (at);

-- Until when a key waits after a 429, and what said so. A creator's name: that room alone waits.
CREATE TABLE sign_blocks (
    key_name TEXT    NOT NULL,
    creator  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    source   TEXT    NOT NULL,
    headers  TEXT    NOT NULL,
    PRIMARY KEY (key_name, creator)
) STRICT, WITHOUT ROWID;
