"""JSON manifests, one module per kind of thing on disk."""
