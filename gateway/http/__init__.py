"""What HTTP serves: every address, its answers, and the description of both."""
