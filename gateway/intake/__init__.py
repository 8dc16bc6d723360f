"""From the body of an HTTP request, or from a message, to a photo and checked fields."""
