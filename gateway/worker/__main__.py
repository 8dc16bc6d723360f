"""`python -m gateway.worker` works on jobs."""

from gateway.worker.process import main

main()
