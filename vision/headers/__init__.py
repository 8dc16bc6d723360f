"""Header parsers of the accepted photo formats: bytes in, `Header` out, nothing decoded."""
