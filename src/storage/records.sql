-- Version 4: conversations, and records that are found by whatever they are asked for.
--
-- The place of a record is its time (milliseconds × 2^20, and a count within each): whatever is found is in order of time,
-- each index included, and a time range is a range of places.
CREATE TABLE cdr_new (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    wire_id TEXT NOT NULL,
    fingerprint INTEGER NOT NULL,
    kind TEXT NOT NULL,              -- the record's type
    direction TEXT,
    outcome TEXT,
    trunk TEXT,
    parties TEXT NOT NULL,           -- every number in it, each between bars: |200|8613800000000|
    body TEXT NOT NULL,              -- JSON, as the API gives it
    UNIQUE (device, wire_id, fingerprint)
);
-- What only the program can tell (see records.rs) follows.
INSERT INTO cdr_new (place, id, device, wire_id, fingerprint, kind, parties, body)
SELECT (received_at << 20) | (seq & 1048575), id, device, wire_id, fingerprint, '', '', body FROM cdr;
DROP TABLE cdr;
ALTER TABLE cdr_new RENAME TO cdr;
CREATE INDEX cdr_device ON cdr (device);
CREATE INDEX cdr_kind ON cdr (kind);
CREATE INDEX cdr_direction ON cdr (direction) WHERE direction IS NOT NULL;
CREATE INDEX cdr_outcome ON cdr (outcome) WHERE outcome IS NOT NULL;
CREATE INDEX cdr_trunk ON cdr (trunk) WHERE trunk IS NOT NULL;

-- Whoever is in a record, by number; and by number from its end.
CREATE TABLE cdr_party (number TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE TABLE cdr_party_end (number TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;

CREATE TABLE conversation (
    place INTEGER PRIMARY KEY,       -- by its begin
    id BLOB NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT '',
    direction TEXT NOT NULL,
    outcome TEXT NOT NULL,
    trunk TEXT,
    parties TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX conversation_device ON conversation (device);
CREATE INDEX conversation_direction ON conversation (direction);
CREATE INDEX conversation_outcome ON conversation (outcome);
CREATE INDEX conversation_trunk ON conversation (trunk) WHERE trunk IS NOT NULL;
CREATE TABLE conversation_party (number TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE TABLE conversation_party_end (number TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (number, place)) WITHOUT ROWID;

-- One call explained: the log is looked into by time.
CREATE INDEX log_at ON log (at);

-- Statistics: sums of conversations, kept as these are.
CREATE TABLE rollup (
    grain INTEGER NOT NULL,          -- milliseconds: an hour or a day
    dimension TEXT NOT NULL,         -- direction, extension, trunk, queue
    at INTEGER NOT NULL,             -- when it begins, in UTC
    device INTEGER NOT NULL,
    key TEXT NOT NULL,               -- which direction, extension, …
    calls INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    no_answer INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    in_time INTEGER NOT NULL,        -- answered within the service level's time
    queued INTEGER NOT NULL,         -- waited in a queue
    ring_ms INTEGER NOT NULL,
    queue_ms INTEGER NOT NULL,
    talk_ms INTEGER NOT NULL,
    PRIMARY KEY (grain, dimension, at, device, key)
) WITHOUT ROWID;
