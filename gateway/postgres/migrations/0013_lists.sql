-- Lists of jobs, the newest first, by any of their filters: none is a look at all the rest. What is shown as the state is
-- spelled as gateway/postgres/listing.py spells it.
CREATE INDEX jobs_list ON maskwright.jobs
    (tenant, (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END), sequence);
CREATE INDEX jobs_list_pipeline ON maskwright.jobs
    (tenant, pipeline, (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END), sequence);
CREATE INDEX jobs_list_user ON maskwright.jobs
    (tenant, user_id, (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END), sequence);
CREATE INDEX jobs_list_user_pipeline ON maskwright.jobs
    (tenant, user_id, pipeline, (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END), sequence);
CREATE INDEX jobs_list_batch ON maskwright.jobs (batch_id, sequence) WHERE batch_id IS NOT NULL;
CREATE INDEX jobs_request ON maskwright.jobs (tenant, request_id, sequence);

-- Last, as it locks out readers. The one by sequence alone goes: the planner took it for a list whose matches it thought
-- to be many.
DROP INDEX
    maskwright.jobs_tenant, maskwright.jobs_user, maskwright.jobs_batch, maskwright.jobs_failed, maskwright.jobs_sequence;
