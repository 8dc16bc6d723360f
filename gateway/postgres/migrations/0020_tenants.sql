-- Whose turn it is goes round the tenants: what is due of each is found without a look at the others'.
-- COLLATE "C", so that names have one order whatever the database's locale.
CREATE INDEX jobs_rounds ON maskwright.jobs (tenant COLLATE "C", priority DESC, sequence)
    WHERE state = 'queued' AND NOT held;

-- Results leave the cache by tenant.
CREATE INDEX task_results_shares ON public.task_results (tenant, used_at, id) INCLUDE (bytes)
    WHERE pipeline IS NOT NULL;

-- Last, as it locks out readers.
DROP INDEX maskwright.jobs_due;
DROP INDEX IF EXISTS public.task_results_used;
