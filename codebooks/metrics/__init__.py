"""Metrics of codebooks and token tables, and of their change over time."""
