-- URL of the git repository that the image was built from; empty for entries from before this column.
ALTER TABLE cache_entries ADD COLUMN source TEXT NOT NULL DEFAULT '';
