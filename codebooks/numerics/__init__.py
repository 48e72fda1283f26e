"""Array helpers without knowledge of codebooks."""
