-- Whose everything is; the empty tenant is that of all who name none.
ALTER TABLE maskwright.jobs ADD COLUMN tenant text NOT NULL DEFAULT '';
ALTER TABLE maskwright.jobs ADD COLUMN owner text NOT NULL
    GENERATED ALWAYS AS (CASE WHEN user_id = '' THEN '' ELSE tenant || '/' || user_id END) STORED;

COMMENT ON COLUMN maskwright.jobs.owner IS 'whose jobs run in their order';

DROP INDEX maskwright.jobs_identity, maskwright.jobs_user, maskwright.jobs_turns, maskwright.jobs_masks;
CREATE UNIQUE INDEX jobs_identity ON maskwright.jobs (request_id, user_id, tenant) WHERE deleted_at IS NULL;
CREATE INDEX jobs_user ON maskwright.jobs (user_id, tenant, sequence);
CREATE INDEX jobs_tenant ON maskwright.jobs (tenant, sequence);
CREATE INDEX jobs_turns ON maskwright.jobs (owner, held, priority DESC, sequence) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_masks ON maskwright.jobs (user_id, tenant, sequence)
    WHERE pipeline = 'body_masks' AND state = 'completed' AND deleted_at IS NULL;

ALTER TABLE public.task_results ADD COLUMN IF NOT EXISTS tenant text NOT NULL DEFAULT '';

DROP INDEX public.task_results_recent;
CREATE INDEX task_results_recent ON public.task_results (tenant, submitted_at) WHERE pipeline IS NOT NULL;

CREATE TABLE maskwright.api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    tenant text NOT NULL,
    scopes text[] NOT NULL,
    digest text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

COMMENT ON COLUMN maskwright.api_keys.digest IS 'SHA-256 of the secret, which nobody keeps';

CREATE TABLE maskwright.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    caller text NOT NULL,
    tenant text NOT NULL,
    action text NOT NULL,
    job_id uuid,
    target text NOT NULL,
    code text,
    request_id text NOT NULL
);

COMMENT ON COLUMN maskwright.audit.code IS 'why it was refused';

CREATE INDEX audit_job ON maskwright.audit (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX audit_caller ON maskwright.audit (caller, id);
