"""Requests to servers that callers name: nothing but the public Internet, and networks the operator allows."""
