-- What was removed on request. Registries keep images, and attempts may be about to push more: neither brings it back.
CREATE TABLE cache_removals (
    repository  TEXT    NOT NULL,
    -- Empty: all keys of the configuration.
    key         TEXT    NOT NULL,
    -- Of what was removed; `*`: all configurations.
    config      TEXT    NOT NULL,
    -- rowid of the newest lookup at that moment: only an attempt that asked later enters an image again.
    last_lookup INTEGER NOT NULL,
    PRIMARY KEY (repository, key, config)
) STRICT;
