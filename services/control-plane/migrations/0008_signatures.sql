-- What the control plane signed of the entry, in DER; empty: nothing, as for entries from before this column.
ALTER TABLE cache_entries ADD COLUMN signature BLOB NOT NULL DEFAULT x'';
