"""What runs inside Triton's python stub: our backends, and what lets them work there."""
