-- Times are milliseconds since 1970 in UTC. Messages are stored as the bytes of the contract's own messages, which
-- grow without breaking; what is searched or sorted by has a column of its own.

CREATE TABLE workspaces (
    -- Order of creation, and the page token of lists.
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    node          TEXT    NOT NULL,
    state         INTEGER NOT NULL,
    settled       INTEGER NOT NULL,
    -- hearth.v1.Workspace
    snapshot      BLOB    NOT NULL,
    -- Progress of the newest attempt: what the fold needs and clients do not see.
    progress      BLOB    NOT NULL
) STRICT;

CREATE INDEX workspaces_by_node ON workspaces (node);
CREATE INDEX workspaces_unfinished ON workspaces (number) WHERE settled = 0 OR state = 6;

CREATE TABLE events (
    workspace_id   TEXT    NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    sequence       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    -- The agent's own number within the attempt; 0 for what the control plane says itself.
    agent_sequence INTEGER NOT NULL,
    -- hearth.v1.Event
    event          BLOB    NOT NULL,
    PRIMARY KEY (workspace_id, sequence)
) STRICT;

CREATE TABLE requests (
    request_id   TEXT NOT NULL PRIMARY KEY,
    payload      TEXT NOT NULL,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX requests_by_workspace ON requests (workspace_id);

CREATE TABLE nodes (
    name         TEXT    NOT NULL PRIMARY KEY,
    -- hearth.v1.NodeInfo
    info         BLOB    NOT NULL,
    heartbeat_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE cache_entries (
    repository    TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    digest        TEXT    NOT NULL,
    manifest      TEXT    NOT NULL,
    config        TEXT    NOT NULL,
    platform      TEXT    NOT NULL,
    commit_hash   TEXT    NOT NULL,
    -- Provenance. The workspace may be gone already.
    workspace_id  TEXT    NOT NULL,
    build_seconds REAL    NOT NULL,
    bytes         INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL,
    last_used_ms  INTEGER NOT NULL,
    PRIMARY KEY (repository, key)
) STRICT;

CREATE INDEX cache_entries_newest ON cache_entries (repository, config, platform, created_ms);
