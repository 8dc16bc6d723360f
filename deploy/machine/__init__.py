"""The first command on a machine: whether it can work here, which Python it uses, and the virtual environment."""
