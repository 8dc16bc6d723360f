"""What a process counts and times, for Prometheus."""
