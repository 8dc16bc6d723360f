"""Redaction: faces, plates and objects painted over."""
