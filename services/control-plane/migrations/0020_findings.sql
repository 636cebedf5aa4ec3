-- What an audit found wrong with the image that the attempt was told of; empty: nothing.
ALTER TABLE cache_lookups ADD COLUMN finding TEXT NOT NULL DEFAULT '';
