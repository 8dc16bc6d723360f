-- Jobs that came together.
ALTER TABLE maskwright.jobs ADD COLUMN batch_id uuid;

CREATE INDEX jobs_batch ON maskwright.jobs (batch_id) WHERE batch_id IS NOT NULL;
