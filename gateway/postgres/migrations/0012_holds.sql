-- Who is at the objects of a request's name. Written down before the first object is, so that a janitor finds what a
-- writer left that died.
CREATE TABLE maskwright.holds (
    request_id text NOT NULL,
    user_id text NOT NULL,
    tenant text NOT NULL,
    token uuid NOT NULL,
    prefixes text[] NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (request_id, user_id, tenant)
);

COMMENT ON COLUMN maskwright.holds.prefixes IS 'what the keys of the objects begin with';

CREATE INDEX holds_until ON maskwright.holds (until);
