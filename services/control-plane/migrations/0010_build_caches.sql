-- Build caches that builds may read, by the digest that the build has told.
CREATE TABLE build_caches (
    repository   TEXT    NOT NULL,
    -- Empty: the default configuration.
    config       TEXT    NOT NULL,
    platform     TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    -- The workspace that wrote it.
    workspace_id TEXT    NOT NULL,
    digest       TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (repository, config, platform, key)
) STRICT;

-- How often something of a repository's cache was removed on request: what a build began before that wrote is not noted.
CREATE TABLE build_cache_generations (
    repository TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT;
