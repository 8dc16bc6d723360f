-- Large parameters lie in the bucket of photos; `parameters` is then null, in JSON.
ALTER TABLE maskwright.jobs ADD COLUMN parameters_stored boolean NOT NULL DEFAULT false;
