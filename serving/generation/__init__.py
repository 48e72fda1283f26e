"""Recommendations by a language model: constrained generation, and adapters for inference servers."""
