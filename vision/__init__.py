"""Pure image functions on numpy arrays: everything that decides a pixel."""
