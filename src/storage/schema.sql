-- Version 1.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE device (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,          -- JSON; no secret in it
    secrets BLOB,                    -- encrypted with the key file; none: the device was removed
    from_file INTEGER NOT NULL DEFAULT 0,
    log_id INTEGER NOT NULL DEFAULT 0, -- reports up to this id are of an earlier device of this name
    created_at INTEGER NOT NULL
);

-- The log: one row holds the reports and events of one commit, packed; see block.rs. Rows are only added at the
-- end and removed at the beginning, and the last one is never removed: it says where to go on.
CREATE TABLE log (
    last_report INTEGER PRIMARY KEY, -- the id of the last report in it
    reports INTEGER NOT NULL,        -- how many
    last_event INTEGER NOT NULL,     -- the cursor of the last event in it, or before it
    events INTEGER NOT NULL,         -- how many
    at INTEGER NOT NULL,             -- milliseconds, of the last report in it
    devices BLOB NOT NULL,           -- sorted keys, 8 bytes each: which devices are in it
    body BLOB NOT NULL
);
CREATE INDEX log_event ON log (last_event);

CREATE TABLE snapshot (
    device INTEGER PRIMARY KEY REFERENCES device (key) ON DELETE CASCADE,
    log_id INTEGER NOT NULL,         -- reports up to this id are in it
    body BLOB NOT NULL
);

-- What a device's proof remembers: its clock's offset, and the signatures that came last.
CREATE TABLE proof (
    device INTEGER PRIMARY KEY REFERENCES device (key) ON DELETE CASCADE,
    body TEXT NOT NULL               -- JSON
);

CREATE TABLE call (
    id BLOB PRIMARY KEY,
    device INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE cdr (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    wire_id TEXT NOT NULL,
    fingerprint INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (device, wire_id, fingerprint)
);
CREATE INDEX cdr_received ON cdr (received_at);

CREATE TABLE quarantine (
    device TEXT NOT NULL,
    at INTEGER NOT NULL,
    entropy INTEGER NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (device, at, entropy)
) WITHOUT ROWID;

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,       -- SHA-256 of the token
    role TEXT NOT NULL,
    scope TEXT NOT NULL,             -- JSON: devices and extensions
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
