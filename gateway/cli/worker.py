"""`maskwright worker`."""

from gateway.worker.process import main


def worker() -> None:
    """Work on jobs in the foreground; PostgreSQL, S3 and Triton must run elsewhere."""
    main()
