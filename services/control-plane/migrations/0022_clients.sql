-- Who may call. The token itself is nowhere. A client that was revoked stays: certificates with its name may still be about,
-- so nobody else gets it.
CREATE TABLE clients (
    -- Order of creation, and the page token of lists.
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    -- With commas between them.
    scopes       TEXT    NOT NULL,
    -- Patterns, with commas between them; empty: all.
    repositories TEXT    NOT NULL,
    -- SHA-256 of the token, in hex.
    digest       TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER,
    revoked_ms   INTEGER
) STRICT;
