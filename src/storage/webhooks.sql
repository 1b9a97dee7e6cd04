-- Version 5: webhooks, how far each has come in the log of events, and what became of its deliveries.
CREATE TABLE webhook (
    key INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: what is written late is not for another
    id TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,          -- JSON; no secret in it
    secrets BLOB NOT NULL,           -- encrypted with the key file
    progress TEXT NOT NULL           -- JSON: every wanted event up to its cursor has its row below
);

CREATE TABLE webhook_delivery (
    webhook INTEGER NOT NULL REFERENCES webhook (key) ON DELETE CASCADE,
    cursor INTEGER NOT NULL,         -- the event's place in the log
    state TEXT NOT NULL,             -- pending, delivered, failed, gap
    event BLOB,                      -- its id; none: a gap of several
    at INTEGER NOT NULL,             -- milliseconds, of the event
    body TEXT NOT NULL,              -- JSON: kind, call, attempts
    PRIMARY KEY (webhook, cursor)
) WITHOUT ROWID;
