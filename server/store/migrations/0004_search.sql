-- What rows say, word by word. LIKE knows upper and lower case of ASCII only.
CREATE VIRTUAL TABLE events_text USING fts5 (
    text, content = 'events', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 0', prefix = '2 3'
);
CREATE TRIGGER events_said AFTER INSERT ON events
BEGIN INSERT INTO events_text (rowid, text) VALUES (new.id, new.text); END;
CREATE TRIGGER events_gone AFTER DELETE ON events
BEGIN INSERT INTO events_text (events_text, rowid, text) VALUES ('delete', old.id, old.text); END;
INSERT INTO events_text (events_text) VALUES ('rebuild');
CREATE INDEX events_by_code ON events (code, id) WHERE code <> '';

-- What staff looked at and changed.
CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY,
    ts       INTEGER NOT NULL,
    staff    TEXT    NOT NULL,
    ip       TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (ts);
