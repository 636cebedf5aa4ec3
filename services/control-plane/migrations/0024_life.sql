-- How long a workspace may run, and since when; NULL: without end. All of it is time that control planes have run.
ALTER TABLE workspaces ADD COLUMN ttl_ms INTEGER;
ALTER TABLE workspaces ADD COLUMN idle_ms INTEGER;
ALTER TABLE workspaces ADD COLUMN ttl_deletes INTEGER NOT NULL DEFAULT 0;
-- When it was prepared, started or renewed last, and when it was used last.
ALTER TABLE workspaces ADD COLUMN begun_run_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN used_run_ms INTEGER NOT NULL DEFAULT 0;
-- The end that was announced, and the end of its time that this was for.
ALTER TABLE workspaces ADD COLUMN told_end_run_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workspaces ADD COLUMN told_for_run_ms INTEGER NOT NULL DEFAULT 0;
-- Whose end is watched: the container of a workspace that was ready; empty: none. NULL: the snapshot has it.
ALTER TABLE workspaces ADD COLUMN container_id TEXT;
