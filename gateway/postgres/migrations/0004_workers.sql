CREATE TABLE maskwright.workers (
    worker text PRIMARY KEY,
    capacity integer NOT NULL,
    seen_at timestamptz NOT NULL
);
