-- Users bring the first two tables; theirs get the columns that are missing. Rows without a pipeline are theirs.
CREATE TABLE IF NOT EXISTS public.task_results (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id text NOT NULL,
    input_hash text NOT NULL,
    status text NOT NULL,
    result_data json,
    svg_data text,
    processing_time_ms double precision,
    cache_hits integer NOT NULL DEFAULT 0,
    ttl_expires_at timestamptz,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);

ALTER TABLE public.task_results
    ADD COLUMN IF NOT EXISTS pipeline text,
    ADD COLUMN IF NOT EXISTS error_type text,
    ADD COLUMN IF NOT EXISTS error_detail text,
    ADD COLUMN IF NOT EXISTS regions_detected integer,
    ADD COLUMN IF NOT EXISTS artifacts json,
    ADD COLUMN IF NOT EXISTS content bytea,
    ADD COLUMN IF NOT EXISTS bytes bigint,
    ADD COLUMN IF NOT EXISTS used_at timestamptz,
    ADD COLUMN IF NOT EXISTS likeness_group bytea,
    ADD COLUMN IF NOT EXISTS perceptual_hash bigint,
    ADD COLUMN IF NOT EXISTS landmarks bytea;

-- Pictures do not get smaller.
ALTER TABLE public.task_results ALTER COLUMN content SET STORAGE EXTERNAL;

COMMENT ON COLUMN public.task_results.svg_data IS 'the artifact contours.svg in base64; its other home, content, does not hold it';
COMMENT ON COLUMN public.task_results.content IS 'the artifacts one after the other';
COMMENT ON COLUMN public.task_results.artifacts IS 'their names and sizes';
COMMENT ON COLUMN public.task_results.used_at IS 'when it was kept, or hit: to the minute, so that most hits change no index';
COMMENT ON COLUMN public.task_results.likeness_group IS 'of requests that differ in nothing but photo and landmarks';
COMMENT ON COLUMN public.task_results.perceptual_hash IS '64 bits, the highest as the sign';

CREATE UNIQUE INDEX task_results_key ON public.task_results (input_hash) WHERE pipeline IS NOT NULL;
CREATE INDEX task_results_recent ON public.task_results (submitted_at) WHERE pipeline IS NOT NULL;
CREATE INDEX task_results_used ON public.task_results (used_at, id) INCLUDE (bytes) WHERE pipeline IS NOT NULL;
CREATE INDEX task_results_size ON public.task_results (ttl_expires_at) INCLUDE (bytes) WHERE pipeline IS NOT NULL;

-- Of two hashes that differ in few bits, some of the four bands differ in fewer.
ALTER TABLE public.task_results
    ADD COLUMN hash_band_1 integer GENERATED ALWAYS AS ((perceptual_hash >> 48 & 65535)::integer) STORED,
    ADD COLUMN hash_band_2 integer GENERATED ALWAYS AS ((perceptual_hash >> 32 & 65535)::integer) STORED,
    ADD COLUMN hash_band_3 integer GENERATED ALWAYS AS ((perceptual_hash >> 16 & 65535)::integer) STORED,
    ADD COLUMN hash_band_4 integer GENERATED ALWAYS AS ((perceptual_hash & 65535)::integer) STORED;

CREATE INDEX task_results_band_1 ON public.task_results (likeness_group, hash_band_1) WHERE perceptual_hash IS NOT NULL;
CREATE INDEX task_results_band_2 ON public.task_results (likeness_group, hash_band_2) WHERE perceptual_hash IS NOT NULL;
CREATE INDEX task_results_band_3 ON public.task_results (likeness_group, hash_band_3) WHERE perceptual_hash IS NOT NULL;
CREATE INDEX task_results_band_4 ON public.task_results (likeness_group, hash_band_4) WHERE perceptual_hash IS NOT NULL;

CREATE TABLE IF NOT EXISTS public.processing_metrics (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric_name text NOT NULL,
    metric_value double precision NOT NULL,
    component text,
    task_id text,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE public.processing_metrics ADD COLUMN IF NOT EXISTS pipeline text;

CREATE INDEX processing_metrics_age ON public.processing_metrics (recorded_at) WHERE pipeline IS NOT NULL;

-- Theirs may have been made by an ORM, which brings ids of its own.
DO $$
DECLARE
    users regclass;
BEGIN
    FOR users IN
        SELECT attrelid FROM pg_attribute
        WHERE attrelid IN ('public.task_results'::regclass, 'public.processing_metrics'::regclass) AND attname = 'id'
            AND atttypid IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype) AND NOT atthasdef
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN id SET DEFAULT gen_random_uuid()', users);
    END LOOP;
END
$$;

CREATE TABLE maskwright.cache_traffic (
    day date NOT NULL,
    pipeline text NOT NULL,
    requests bigint NOT NULL,
    hits bigint NOT NULL,
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    spent_ms double precision NOT NULL,
    saved_ms double precision NOT NULL,
    PRIMARY KEY (day, pipeline)
);

DROP VIEW IF EXISTS public.cache_performance;
CREATE VIEW public.cache_performance AS
SELECT
    day AS date,
    sum(requests)::bigint AS total_requests,
    sum(hits)::bigint AS cache_hits,
    round(sum(hits) * 100.0 / nullif(sum(requests), 0), 2) AS hit_ratio_percent
FROM maskwright.cache_traffic
GROUP BY day;
