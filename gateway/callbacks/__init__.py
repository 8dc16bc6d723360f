"""Outcomes carried to the callers' own servers."""
