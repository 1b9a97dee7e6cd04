-- Version 8: sums by device first, so that those of a few devices are near; of thirty days, so that long times are; and of
-- all devices together.
CREATE TABLE rollup_by_device (
    grain INTEGER NOT NULL,          -- milliseconds: an hour, a day, thirty days
    dimension TEXT NOT NULL,         -- direction, extension, trunk, queue
    device INTEGER NOT NULL,         -- 0: of all of them
    at INTEGER NOT NULL,             -- when it begins, in UTC
    key TEXT NOT NULL,               -- which direction, extension, …
    calls INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    no_answer INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    in_time INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    ring_ms INTEGER NOT NULL,
    queue_ms INTEGER NOT NULL,
    talk_ms INTEGER NOT NULL,
    PRIMARY KEY (grain, dimension, device, at, key)
) WITHOUT ROWID;
INSERT INTO rollup_by_device
SELECT grain, dimension, device, at, key, calls, answered, abandoned, no_answer, busy, rejected, failed, in_time, queued,
    ring_ms, queue_ms, talk_ms FROM rollup;
INSERT INTO rollup_by_device
SELECT 2592000000, dimension, device, at / 2592000000 * 2592000000, key, sum(calls), sum(answered), sum(abandoned),
    sum(no_answer), sum(busy), sum(rejected), sum(failed), sum(in_time), sum(queued), sum(ring_ms), sum(queue_ms),
    sum(talk_ms)
FROM rollup WHERE grain = 86400000 GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollup_by_device
SELECT grain, dimension, 0, at, key, sum(calls), sum(answered), sum(abandoned), sum(no_answer), sum(busy), sum(rejected),
    sum(failed), sum(in_time), sum(queued), sum(ring_ms), sum(queue_ms), sum(talk_ms)
FROM rollup_by_device GROUP BY grain, dimension, at, key;
DROP TABLE rollup;
ALTER TABLE rollup_by_device RENAME TO rollup;
