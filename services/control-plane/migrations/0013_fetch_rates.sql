-- How many images were too slow to fetch by this rate since it was measured, whether one was fetched all the same since, and
-- when it was measured or tried last.
ALTER TABLE fetch_rates ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fetch_rates ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fetch_rates ADD COLUMN run_ms INTEGER NOT NULL DEFAULT 0;
