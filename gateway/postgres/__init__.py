"""Jobs, deliveries and poison in PostgreSQL 13 or newer."""
