"""Conversations that exist already: readers of published datasets."""
