-- Digest of the build cache that came with the image; empty: there is none.
ALTER TABLE cache_entries ADD COLUMN build_cache TEXT NOT NULL DEFAULT '';
