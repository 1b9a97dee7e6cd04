-- Targets, how far each has come in the log of raw reports, and what became of its deliveries.
CREATE TABLE target (
    key INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: what is written late is not for another
    id TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,          -- JSON; no secret in it
    secrets BLOB NOT NULL,           -- encrypted with the key file
    progress TEXT NOT NULL           -- JSON: every wanted report up to its cursor has its row below
);

CREATE TABLE target_delivery (
    target INTEGER NOT NULL REFERENCES target (key) ON DELETE CASCADE,
    cursor INTEGER NOT NULL,         -- the report's place in the log
    state TEXT NOT NULL,             -- pending, delivered, failed, gap
    report BLOB,                     -- its id; none: a gap of several
    at INTEGER NOT NULL,             -- milliseconds, of the report
    body TEXT NOT NULL,              -- JSON: kind, attempts
    PRIMARY KEY (target, cursor)
) WITHOUT ROWID;
