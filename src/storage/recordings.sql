-- Recordings: each that a call record named, from then on.
CREATE TABLE recording (
    id BLOB PRIMARY KEY,             -- that of its record
    place INTEGER NOT NULL,          -- by when its record came in, as with records
    device TEXT NOT NULL,
    call BLOB,
    state TEXT NOT NULL,             -- announced, fetching, available, missing
    next_at INTEGER,                 -- milliseconds: when it is tried again; null once it has settled
    told INTEGER NOT NULL,           -- 0 while the event of how it settled is still to come
    body TEXT NOT NULL               -- JSON, as the API gives it
);
CREATE INDEX recording_place ON recording (place);
CREATE INDEX recording_device ON recording (device, place);
CREATE INDEX recording_call ON recording (call) WHERE call IS NOT NULL;
CREATE INDEX recording_state ON recording (state, place);
CREATE INDEX recording_next ON recording (next_at, device) WHERE next_at IS NOT NULL;
CREATE INDEX recording_untold ON recording (place) WHERE told = 0;
