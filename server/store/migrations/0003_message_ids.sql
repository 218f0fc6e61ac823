-- TikTok's own number of a message: after a restart, what it tells once more is known by it.

ALTER TABLE events ADD COLUMN msg_id INTEGER NOT NULL DEFAULT 0;
