"""Constrained generation: only tuples of tracks that exist."""
