"""The stores of a gateway without PostgreSQL and S3: everything is lost when the process ends.

Invariant: one event loop owns these objects, and none of their methods awaits anything between its first line and its
last. So every method is one transaction, and no method needs a lock.
"""
