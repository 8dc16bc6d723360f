"""How Maskwright is put on machines."""
