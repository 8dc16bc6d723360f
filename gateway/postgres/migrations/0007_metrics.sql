-- What all processes counted, together; the labels are a JSON object with sorted names.
CREATE TABLE maskwright.metric_totals (
    name text NOT NULL,
    labels text NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (name, labels)
);

CREATE TABLE maskwright.metric_processes (
    process text PRIMARY KEY,
    report bigint NOT NULL,
    gauges json NOT NULL,
    seen_at timestamptz NOT NULL
);

COMMENT ON COLUMN maskwright.metric_processes.report IS 'the last that was counted: one that comes twice counts once';
