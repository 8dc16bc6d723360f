"""The one-machine stack: servers from pip wheels, started, watched and stopped together."""
