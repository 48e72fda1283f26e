"""Input tables: found, read as Arrow batches, conformed to their schema, and validated."""
