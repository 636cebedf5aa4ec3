-- What this database is, and how long it was in use.
CREATE TABLE control_plane (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    -- Made once, at random: tells this database from every other one, and from none.
    identity TEXT    NOT NULL,
    -- For how many milliseconds control planes have run on it, over all starts. Ages count in this time and not in the
    -- machine's, whose clock may jump. Written every few seconds, which shows as well that the database can be written.
    run_ms   INTEGER NOT NULL
) STRICT;
INSERT INTO control_plane VALUES (1, lower(hex(randomblob(16))), 0);
DROP TABLE checked;

-- When an entry was entered, and when an attempt found it last that did not build it; NULL: none has.
ALTER TABLE cache_entries ADD COLUMN entered_run_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cache_entries ADD COLUMN found_run_ms INTEGER;
UPDATE cache_entries SET found_run_ms = 0 WHERE last_used_ms > created_ms;
ALTER TABLE build_caches ADD COLUMN used_run_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cache_lookups ADD COLUMN run_ms INTEGER NOT NULL DEFAULT 0;

-- When the log grew last; NULL: it has not, or the output of a workspace that has settled was dropped since.
ALTER TABLE workspaces ADD COLUMN log_run_ms INTEGER;
UPDATE workspaces SET log_run_ms = 0 WHERE log_ms > 0;
ALTER TABLE workspaces DROP COLUMN log_ms;

-- The newest is what was written last, and not what has the latest time. Rows are numbered in that order.
DROP INDEX cache_entries_newest;
CREATE INDEX cache_entries_newest ON cache_entries (repository, config, platform);
DROP INDEX cache_entries_created;
DROP INDEX cache_lookups_by_ref;
CREATE INDEX cache_lookups_by_ref ON cache_lookups (repository, ref, config);
