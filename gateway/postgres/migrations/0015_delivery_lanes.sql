-- One receiver that hangs keeps what is for others from nobody: what is due is found by receiver and tenant.
-- Rows of a version before this one, which may still run, have the default.
ALTER TABLE maskwright.deliveries
    ADD COLUMN receiver text COLLATE "C" NOT NULL DEFAULT '-',
    ADD COLUMN tenant text COLLATE "C" NOT NULL DEFAULT '';

UPDATE maskwright.deliveries SET
    receiver = CASE
        WHEN kind = 'message' OR destination !~ '^https?://[^/?#]' THEN destination
        ELSE lower(substring(destination FROM '^https?://([^/?#]*)')) || CASE
            WHEN destination ~ '^https?://[^/?#]*:[0-9]+([/?#]|$)' THEN ''
            WHEN destination LIKE 'https:%' THEN ':443'
            ELSE ':80'
        END
    END,
    tenant = coalesce((SELECT jobs.tenant FROM maskwright.jobs WHERE jobs.id = deliveries.job_id), '')
WHERE state <> 'delivered';

CREATE INDEX deliveries_lanes ON maskwright.deliveries (kind, receiver, tenant, run_at, id) WHERE state = 'pending';
DROP INDEX maskwright.deliveries_due;
