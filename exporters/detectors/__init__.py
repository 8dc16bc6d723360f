"""Object detectors. Input: pixels. Output rows: x1, y1, x2, y2 (input pixels), score, class index; best first."""
