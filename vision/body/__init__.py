"""A person: found, posed, labelled, and the masks drawn of it."""
