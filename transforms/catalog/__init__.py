"""The catalog scan: from input rows to a snapshot and the list of missing inputs."""
