"""What the services count and time, for Prometheus."""
