"""Facial contours: from landmarks and a label map to regions, rings and an SVG."""
