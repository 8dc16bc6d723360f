"""Our poses and faces against those of MediaPipe's own package."""
