-- How much of a workspace's log is stored, so that nothing has to be counted when it grows.
ALTER TABLE workspaces ADD COLUMN log_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN log_bytes INTEGER NOT NULL DEFAULT 0;
-- Sequence from which on the log has no gaps. Before it only what is no output may be left.
ALTER TABLE workspaces ADD COLUMN log_oldest INTEGER NOT NULL DEFAULT 1;
-- When the log grew last; 0: the output of a workspace that has settled was dropped since.
ALTER TABLE workspaces ADD COLUMN log_ms INTEGER NOT NULL DEFAULT 0;

UPDATE workspaces SET (log_events, log_bytes, log_oldest) = (
    SELECT count(*), coalesce(sum(length(event)), 0), coalesce(min(sequence), 1)
    FROM events WHERE workspace_id = workspaces.id
), log_ms = unixepoch() * 1000;

-- Written to find out whether the database can be written.
CREATE TABLE checked (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    times INTEGER NOT NULL
) STRICT;
INSERT INTO checked VALUES (1, 0);
