"""Jobs, the outbox, dead letters, the cache, API keys and the audit log in PostgreSQL 13 or newer."""
