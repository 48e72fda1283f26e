"""Readers of the input tables: discovery, parsing, coercion, validation."""
