"""What a job is and what keeps one, whatever database, broker and object store there are."""
