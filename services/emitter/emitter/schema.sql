-- The emitter's ledger, version 1. README.md explains each table.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,           -- identity of the source, without secrets
    seed INTEGER,
    events INTEGER,                 -- NULL: all there are
    pipeline_id TEXT NOT NULL,
    paths TEXT NOT NULL,            -- 'batch', 'stream' or 'batch,stream'
    started TEXT NOT NULL,
    finished TEXT,                  -- NULL until nothing is left to send
    abandoned TEXT,                 -- set by --fresh
    taken TEXT NOT NULL,            -- how far the source was read (JSON)
    retried INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0
);
-- One row per event and path, committed before the event is sent. Ids rise in the order of the source.
CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    path TEXT NOT NULL,
    name TEXT NOT NULL,             -- topic or stream
    key TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    position TEXT NOT NULL          -- in the source
);
-- The bytes of every intent whose fate is still open.
CREATE TABLE pending (
    intent INTEGER PRIMARY KEY REFERENCES intents (id),
    value BLOB NOT NULL
);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    log_id TEXT NOT NULL,           -- topic UUID, or stream ARN with its creation time
    UNIQUE (path, name, log_id)
);
CREATE TABLE acknowledgements (
    intent INTEGER PRIMARY KEY REFERENCES intents (id),
    log INTEGER NOT NULL REFERENCES logs (id),
    partition TEXT NOT NULL,        -- partition or shard
    offset NOT NULL                 -- INTEGER offset, or TEXT sequence number
);
CREATE INDEX acknowledged_at ON acknowledgements (log, partition, offset);
CREATE TABLE refused (
    intent INTEGER PRIMARY KEY REFERENCES intents (id),
    reason TEXT NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    kind TEXT NOT NULL,
    position TEXT NOT NULL,
    reason TEXT NOT NULL,
    value BLOB NOT NULL             -- of a line over the size limit, its beginning
);
