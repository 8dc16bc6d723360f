"""Pure image functions on numpy arrays. All code that decides pixel values is here."""
