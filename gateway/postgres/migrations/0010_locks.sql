-- Who computes what, where a pooler keeps no locks of sessions. Lost in a crash, as locks are.
CREATE UNLOGGED TABLE maskwright.locks (
    key bigint PRIMARY KEY,
    holder uuid NOT NULL,
    until timestamptz NOT NULL
);
