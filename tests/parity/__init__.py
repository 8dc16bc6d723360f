"""Our pose against that of MediaPipe's own package, on photos of one person."""
