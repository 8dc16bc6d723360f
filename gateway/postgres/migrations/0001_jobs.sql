-- parameters, result and the like are json, not jsonb: the text comes back as it was given, and any string is accepted,
-- "\u0000" too.
CREATE TABLE maskwright.jobs (
    id uuid PRIMARY KEY,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    pipeline text NOT NULL,
    user_id text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    parameters json NOT NULL,
    image_kind text NOT NULL CHECK (image_kind IN ('photo', 'url', 's3')),
    image_location text NOT NULL,
    gender text,
    priority integer NOT NULL,
    source text NOT NULL,
    trace_id text NOT NULL,
    callbacks json NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed')),
    held boolean NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    deleted_at timestamptz,
    worker text,
    lease_token uuid,
    lease_until timestamptz,
    last_code text,
    last_detail text,
    error_code text,
    error_detail text,
    result json,
    artifacts json,
    timings_ms json,
    CHECK ((state IN ('completed', 'failed')) = (finished_at IS NOT NULL)),
    CHECK ((state = 'failed') = (error_code IS NOT NULL)),
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
);

COMMENT ON COLUMN maskwright.jobs.held IS 'waits for its user''s earlier jobs';
COMMENT ON COLUMN maskwright.jobs.lease_token IS 'of the lease that runs, or ran, or put back the job';
COMMENT ON COLUMN maskwright.jobs.deleted_at IS 'hidden since then, until its objects are removed';

-- Who it is.
CREATE UNIQUE INDEX jobs_sequence ON maskwright.jobs (sequence);
CREATE UNIQUE INDEX jobs_identity ON maskwright.jobs (request_id, user_id) WHERE deleted_at IS NULL;
CREATE INDEX jobs_user ON maskwright.jobs (user_id, sequence);

-- Whose turn it is.
CREATE INDEX jobs_due ON maskwright.jobs (priority DESC, sequence) WHERE state = 'queued' AND NOT held;
CREATE INDEX jobs_turns ON maskwright.jobs (user_id, held, priority DESC, sequence) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_running ON maskwright.jobs (lease_token) WHERE state = 'running';

-- What is over.
CREATE INDEX jobs_finished ON maskwright.jobs (finished_at) WHERE finished_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX jobs_masks ON maskwright.jobs (user_id, sequence)
    WHERE pipeline = 'body_masks' AND state = 'completed' AND deleted_at IS NULL;
CREATE INDEX jobs_failed ON maskwright.jobs (sequence) WHERE state = 'failed';
CREATE INDEX jobs_deleted ON maskwright.jobs (deleted_at) WHERE deleted_at IS NOT NULL;
