"""Callers: who they are, from where they come, what they may do and how much, and what they did."""
