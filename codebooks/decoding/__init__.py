"""Constrained generation: only the token tuples of existing tracks."""
