"""From an HTTP request's body to a photo and fields."""
