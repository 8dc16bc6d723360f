"""Photos and artifacts in S3."""
