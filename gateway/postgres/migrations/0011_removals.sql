-- A deleted job stays until the last of its objects is gone; a failed one may have left some.
ALTER TABLE maskwright.jobs
    ADD COLUMN writes_until timestamptz,
    ADD COLUMN removal_at timestamptz,
    ADD COLUMN removal_attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN removal_error text;

COMMENT ON COLUMN maskwright.jobs.deleted_at IS 'hidden since then, until its objects are removed';
COMMENT ON COLUMN maskwright.jobs.writes_until IS 'until then a worker may still write its artifacts, though it has ended';
COMMENT ON COLUMN maskwright.jobs.removal_at IS 'when its objects are to be removed; of a job that an older version deleted, deleted_at';

UPDATE maskwright.jobs SET removal_at = now()
WHERE state = 'failed' AND deleted_at IS NULL AND (attempts > 1 OR attempts = 1
    AND error_code IN ('cancelled', 'attempts_exhausted', 'storage_unavailable', 'queue_full', 'internal_error'));

CREATE INDEX jobs_removal ON maskwright.jobs (coalesce(removal_at, deleted_at))
    WHERE deleted_at IS NOT NULL OR removal_at IS NOT NULL;

-- The results that a job brought about go with it.
CREATE INDEX task_results_task ON public.task_results ((task_id::text)) WHERE pipeline IS NOT NULL;
