"""Smaller and faster forms of a model: in eight bits, and in half precision."""
