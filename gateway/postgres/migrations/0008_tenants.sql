-- Whose everything is; the empty tenant is that of all who name none.
ALTER TABLE jobs ADD COLUMN tenant text NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN owner text NOT NULL
    GENERATED ALWAYS AS (CASE WHEN user_id = '' THEN '' ELSE tenant || '/' || user_id END) STORED;

COMMENT ON COLUMN jobs.owner IS 'whose jobs run in their order';

DROP INDEX jobs_identity, jobs_user, jobs_turns, jobs_masks;
CREATE UNIQUE INDEX jobs_identity ON jobs (request_id, user_id, tenant) WHERE deleted_at IS NULL;
CREATE INDEX jobs_user ON jobs (user_id, tenant, sequence);
CREATE INDEX jobs_tenant ON jobs (tenant, sequence);
CREATE INDEX jobs_turns ON jobs (owner, held, priority DESC, sequence) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_masks ON jobs (user_id, tenant, sequence)
    WHERE pipeline = 'body_masks' AND state = 'completed' AND deleted_at IS NULL;

ALTER TABLE task_results ADD COLUMN IF NOT EXISTS tenant text NOT NULL DEFAULT '';

DROP INDEX task_results_recent;
CREATE INDEX task_results_recent ON task_results (tenant, submitted_at) WHERE pipeline IS NOT NULL;

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    tenant text NOT NULL,
    scopes text[] NOT NULL,
    digest text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

COMMENT ON COLUMN api_keys.digest IS 'SHA-256 of the secret, which nobody keeps';

CREATE TABLE audit (
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

COMMENT ON COLUMN audit.code IS 'why it was refused';

CREATE INDEX audit_job ON audit (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX audit_caller ON audit (caller, id);
