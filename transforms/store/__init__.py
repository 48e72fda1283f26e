"""The store: paths, files, records, locks, snapshots and releases."""
