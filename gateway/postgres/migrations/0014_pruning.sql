-- What goes with a job, and what is closed, is found without a look at all the rest.
CREATE INDEX poison_of_job ON maskwright.poison (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX poison_closed ON maskwright.poison (closed_at) WHERE closed_at IS NOT NULL;

-- The message, by the id of the job that it would be, at whose wish a job began anew: once, however often it comes.
ALTER TABLE maskwright.poison ADD COLUMN replayed_by uuid;

-- The audit log's list, by any of its filters.
CREATE INDEX audit_list_job ON maskwright.audit (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX audit_list ON maskwright.audit (tenant, id);
DROP INDEX maskwright.audit_job;
