"""Hiding of what a photo shows: regions about boxes, painted over in place."""
