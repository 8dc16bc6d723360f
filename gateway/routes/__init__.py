"""The HTTP addresses."""
