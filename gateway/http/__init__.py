"""The HTTP API: addresses, their guard, what stands around every request, and the document that describes them."""
