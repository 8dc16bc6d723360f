-- What all gateways of an installation sign with; none of it is told to anybody.
CREATE TABLE maskwright.secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
