"""The first command on a machine: whether it can work here, which Python, and the virtual environment."""
