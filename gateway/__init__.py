"""The HTTP gateway: receives photos, asks Triton, answers with artifacts."""

__version__ = "0.1.0"
