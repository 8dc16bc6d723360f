CREATE TABLE maskwright.poison (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid REFERENCES maskwright.jobs ON DELETE CASCADE,
    origin text NOT NULL,
    key bytea,
    value bytea,
    value_sha256 bytea,
    code text NOT NULL,
    detail text NOT NULL,
    attempts integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);

COMMENT ON COLUMN maskwright.poison.value IS 'the message as it came; of a job, or when closed, nothing';

CREATE INDEX poison_open ON maskwright.poison (id) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX poison_message ON maskwright.poison (origin, value_sha256) WHERE job_id IS NULL;
CREATE UNIQUE INDEX poison_job ON maskwright.poison (job_id) WHERE job_id IS NOT NULL AND closed_at IS NULL;
