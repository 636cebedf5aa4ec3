-- Secrets of the control plane's own, that it has to have after a restart too.
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
) STRICT;
