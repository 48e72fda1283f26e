"""Precomputed embeddings: tables of vectors made elsewhere."""
