-- Who speaks for a node: SHA-256 of the token that its newest registration was answered with, in hex. The token itself
-- is nowhere.
CREATE TABLE sessions (
    node   TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL
) STRICT;
