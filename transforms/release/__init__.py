"""From codes to a release: token table, changes, metrics."""
