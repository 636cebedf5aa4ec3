-- What a node has to remove still: decided while it could not be asked, as for a workspace that was deleted by force or placed
-- on another node. What is not here and not known is never removed from a node.
CREATE TABLE owed_removals (
    workspace_id TEXT NOT NULL,
    node         TEXT NOT NULL,
    PRIMARY KEY (workspace_id, node)
) STRICT;
