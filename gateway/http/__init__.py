"""The HTTP API: guard, middleware, one module per group of addresses, and the OpenAPI document."""
