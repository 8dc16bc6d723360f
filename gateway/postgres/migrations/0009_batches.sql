-- Jobs that came together.
ALTER TABLE jobs ADD COLUMN batch_id uuid;

CREATE INDEX jobs_batch ON jobs (batch_id) WHERE batch_id IS NOT NULL;
