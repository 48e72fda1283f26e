"""Array helpers that know nothing of codebooks."""
