"""Our models against the packages that they come from."""
