"""Deployment: everything that puts Maskwright on machines."""
