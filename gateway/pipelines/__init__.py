"""The pipelines the gateway offers, and what each accepts."""
