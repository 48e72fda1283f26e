"""Keeping a store in order: compaction, purging, checks."""
