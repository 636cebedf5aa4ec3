-- The service of a Docker Compose project that an image is for; empty: it is the devcontainer's own.
ALTER TABLE cache_entries ADD COLUMN service TEXT NOT NULL DEFAULT '';
DROP INDEX cache_entries_newest;
CREATE INDEX cache_entries_newest ON cache_entries (repository, config, platform, service);

ALTER TABLE build_caches ADD COLUMN service TEXT NOT NULL DEFAULT '';

-- An attempt asks once for each service.
CREATE TABLE lookups_of_services (
    workspace_id TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    repository   TEXT    NOT NULL,
    ref          TEXT    NOT NULL,
    config       TEXT    NOT NULL,
    service      TEXT    NOT NULL,
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
    run_ms       INTEGER NOT NULL DEFAULT 0,
    -- What an audit found wrong with the image that the attempt was told of; empty: nothing.
    finding      TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (workspace_id, attempt, service)
) STRICT;
-- Rows are numbered in the order in which they were written, and removals refer to these numbers.
INSERT INTO lookups_of_services (rowid, workspace_id, attempt, repository, ref, config, service, platform, key, manifest,
    decision, entry, rate, created_ms, run_ms, finding)
    SELECT rowid, workspace_id, attempt, repository, ref, config, '', platform, key, manifest, decision, entry, rate,
    created_ms, run_ms, finding FROM cache_lookups;
DROP TABLE cache_lookups;
ALTER TABLE lookups_of_services RENAME TO cache_lookups;
CREATE INDEX cache_lookups_by_ref ON cache_lookups (repository, ref, config);
