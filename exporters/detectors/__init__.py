"""Object detectors: pixels in, rows x1, y1, x2, y2 (input pixels), score, class index out, best first."""
