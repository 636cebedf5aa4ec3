-- Whether the node's agent said that it ends, and has not registered since.
ALTER TABLE nodes ADD COLUMN has_left INTEGER NOT NULL DEFAULT 0;

-- Placement counts the workspaces of each node, and those of them that are not settled.
CREATE INDEX workspaces_load ON workspaces (node, settled);
DROP INDEX workspaces_by_node;
