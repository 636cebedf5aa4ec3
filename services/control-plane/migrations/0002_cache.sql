-- The ref that the image was built from, as the request had it.
ALTER TABLE cache_entries ADD COLUMN ref TEXT NOT NULL DEFAULT '';

CREATE INDEX cache_entries_created ON cache_entries (created_ms);

-- What each attempt asked of the cache and what it was told: explanations need both long after.
CREATE TABLE cache_lookups (
    workspace_id TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    repository   TEXT    NOT NULL,
    ref          TEXT    NOT NULL,
    config       TEXT    NOT NULL,
    platform     TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    manifest     TEXT    NOT NULL,
    -- 1 hit, 2 build, 3 fetching would be slower
    decision     INTEGER NOT NULL,
    -- hearth.v1.CacheEntry: the one that was found, or that the inputs were compared with.
    entry        BLOB,
    -- Bytes per second that the node fetched with before; NULL: not known.
    rate         REAL,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, attempt)
) STRICT;

CREATE INDEX cache_lookups_by_ref ON cache_lookups (repository, ref, config, created_ms);

-- How fast each node fetches, as a moving average.
CREATE TABLE fetch_rates (
    node             TEXT NOT NULL PRIMARY KEY,
    bytes_per_second REAL NOT NULL
) STRICT;

-- What the cache did, by repository; an empty one stands for attempts of repositories that are not cached.
CREATE TABLE cache_results (
    repository    TEXT    NOT NULL PRIMARY KEY,
    exact         INTEGER NOT NULL DEFAULT 0,
    partial       INTEGER NOT NULL DEFAULT 0,
    misses        INTEGER NOT NULL DEFAULT 0,
    skipped       INTEGER NOT NULL DEFAULT 0,
    saved_seconds REAL    NOT NULL DEFAULT 0
) STRICT;
