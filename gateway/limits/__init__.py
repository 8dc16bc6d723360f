"""What the gateway takes on at a time, and how it is shared among callers."""
