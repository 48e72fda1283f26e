"""Metrics of codebooks, token tables, and their change over time."""
