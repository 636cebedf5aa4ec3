-- Values that workspaces of some repositories get, encrypted.
CREATE TABLE granted_secrets (
    -- Order of creation, and the page token of lists.
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL,
    -- Pattern of repositories.
    repositories TEXT    NOT NULL,
    -- 1: for workspaces at all refs.
    all_refs     INTEGER NOT NULL,
    -- Which key it is encrypted with.
    key_id       TEXT    NOT NULL,
    -- Nonce, cipher text and tag.
    sealed       BLOB    NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    UNIQUE (name, repositories)
) STRICT;
