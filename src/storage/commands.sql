-- Version 2: commands, from their acceptance on.
CREATE TABLE command (
    id BLOB PRIMARY KEY,
    device TEXT NOT NULL,
    open INTEGER NOT NULL,           -- 1 until it has settled
    created_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,       -- milliseconds: if its turn has not come by then it is not done
    token BLOB,                      -- SHA-256 of the token of who posted it
    key TEXT,
    request BLOB,                    -- SHA-256 of what was posted under that key
    body TEXT NOT NULL               -- JSON, as the API gives it
) WITHOUT ROWID;
CREATE INDEX command_open ON command (created_at) WHERE open = 1;
CREATE INDEX command_device ON command (device, created_at);
CREATE UNIQUE INDEX command_key ON command (token, key) WHERE key IS NOT NULL;

-- What was assigned through us and a device forgets when it starts again.
CREATE TABLE desired (
    device TEXT NOT NULL,
    kind TEXT NOT NULL,              -- extension, group, menu
    key TEXT NOT NULL,               -- the line, the number
    body TEXT NOT NULL,              -- JSON: the command that assigns it
    applied_at INTEGER NOT NULL,     -- when the device took it last
    error TEXT,                      -- why it did not, the last time
    PRIMARY KEY (device, kind, key)
) WITHOUT ROWID;
