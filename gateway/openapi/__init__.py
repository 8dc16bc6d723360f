"""The API's description: what cannot be read off the handlers, as JSON schemas and examples."""
