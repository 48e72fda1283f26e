"""Codes as tokens: vocabulary, rendering, parsing, embedding initialization."""
