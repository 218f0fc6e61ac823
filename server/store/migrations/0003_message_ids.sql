-- TikTok's own number of a message: after a restart, what it tells once more is known by it.

ALTER TABLE events ADD COLUMN msg_id INTEGER NOT NULL DEFAULT 0;

-- A new password ends the console's sessions: a running server ends what they hold open.
CREATE TRIGGER sessions_deleted AFTER DELETE ON console_sessions BEGIN UPDATE meta SET value = value + 1 WHERE key = 'revision'; END;
