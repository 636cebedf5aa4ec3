-- Tokens with which nodes join: the SHA-256 of each. uses_left is NULL where any number of nodes may join.
CREATE TABLE join_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    expires_ms INTEGER NOT NULL,
    uses_left INTEGER CHECK (uses_left >= 0),
    nodes TEXT NOT NULL,
    description TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER
) STRICT;

-- What joined with a token, so that the same node with the same key (SHA-256 of its public key) may ask again.
CREATE TABLE join_token_uses (
    token TEXT NOT NULL REFERENCES join_tokens (id) ON DELETE CASCADE,
    node TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (token, node, key)
) STRICT, WITHOUT ROWID;

-- The key that a name belongs to; NULL: its node was removed.
CREATE TABLE node_keys (
    node TEXT NOT NULL PRIMARY KEY,
    key TEXT
) STRICT, WITHOUT ROWID;
