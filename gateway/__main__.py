"""`python -m gateway` serves."""

from gateway.server import main

main()
