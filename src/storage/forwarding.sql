-- The forwarding of call records: what is wanted, how far it has come (as with targets), the records that are kept in
-- files, and what devices' own files said.
CREATE TABLE forwarding (
    key INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: what is written late is not for another
    id TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,          -- JSON
    secrets BLOB NOT NULL,
    progress TEXT NOT NULL           -- JSON: every wanted report up to its cursor has its row below
);

CREATE TABLE forwarding_delivery (
    forwarding INTEGER NOT NULL REFERENCES forwarding (key) ON DELETE CASCADE,
    cursor INTEGER NOT NULL,         -- the report's place in the log
    state TEXT NOT NULL,             -- pending, delivered, failed, gap
    report BLOB,                     -- its id; none: a gap of several
    at INTEGER NOT NULL,             -- milliseconds, of the report
    body TEXT NOT NULL,              -- JSON: kind, attempts
    PRIMARY KEY (forwarding, cursor)
) WITHOUT ROWID;

-- Records in files, one row each: a file is what of them has its day and its minutes.
CREATE TABLE kept_cdr (
    cursor INTEGER PRIMARY KEY,      -- the report's place in the log: none is kept twice
    device TEXT NOT NULL,
    day INTEGER NOT NULL,            -- yyyymmdd, of the device's local time
    minute INTEGER NOT NULL,         -- of the day, at which its file begins
    span INTEGER,                    -- minutes of the file; none: it could not be forwarded
    body BLOB NOT NULL               -- as it came in
);
CREATE INDEX kept_cdr_day ON kept_cdr (day);

-- Which records the files of a device named.
CREATE TABLE filed_cdr (
    device TEXT NOT NULL,
    day INTEGER NOT NULL,            -- yyyymmdd, as the record says
    wire_id TEXT NOT NULL,
    imported INTEGER NOT NULL,       -- 1: it was only there, and was taken from there
    at INTEGER NOT NULL,             -- milliseconds, when the file was looked at
    PRIMARY KEY (device, day, wire_id)
) WITHOUT ROWID;
