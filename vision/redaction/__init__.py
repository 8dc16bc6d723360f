"""Faces, plates and objects painted over."""
