CREATE TABLE maskwright.deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid REFERENCES maskwright.jobs ON DELETE SET NULL,
    kind text NOT NULL CHECK (kind IN ('message', 'webhook', 'upload')),
    destination text NOT NULL,
    key text NOT NULL,
    headers json NOT NULL,
    body bytea NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    last_error text,
    CHECK ((state = 'pending') = (ended_at IS NULL))
);

CREATE INDEX deliveries_due ON maskwright.deliveries (kind, run_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_job ON maskwright.deliveries (job_id, id) WHERE job_id IS NOT NULL;
