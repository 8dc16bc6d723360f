"""What a photo file says beside its pixels: read, cleaned, and written into another file of the same pixels' frame."""
