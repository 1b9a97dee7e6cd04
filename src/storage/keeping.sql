-- Who did what and who heard what. Each entry's hash is over the one before, what stands in its own columns, and the
-- digest of its details with its salt: details can be forgotten, and the chain stays whole.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,         -- without a hole
    at INTEGER NOT NULL,             -- milliseconds
    token TEXT NOT NULL,             -- the id of the token
    role TEXT NOT NULL,
    address TEXT NOT NULL,           -- from where
    action TEXT NOT NULL,            -- the route: POST /api/v1/calls/{call}/{action}
    device TEXT,
    status INTEGER NOT NULL,         -- the HTTP status of the answer
    details TEXT,                    -- JSON; none: forgotten
    salt BLOB,
    digest BLOB NOT NULL,            -- SHA-256 of salt and details
    prev BLOB NOT NULL,              -- the hash of the entry before
    hash BLOB NOT NULL
);
CREATE INDEX audit_token ON audit (token);
CREATE INDEX audit_action ON audit (action);

-- Numbers that are to be erased, and what came of it.
CREATE TABLE erasure (
    id BLOB PRIMARY KEY,
    number TEXT,                     -- until it is done
    body TEXT NOT NULL               -- JSON, as the API gives it
) WITHOUT ROWID;
