"""What runs inside Triton's python stub: our backends, and the adjustments that they need there."""
