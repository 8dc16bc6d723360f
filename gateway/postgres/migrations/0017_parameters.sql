-- Large parameters lie in the bucket of photos; `parameters` is then an empty object.
ALTER TABLE maskwright.jobs ADD COLUMN parameters_stored boolean NOT NULL DEFAULT false;
