"""Training of codebooks: preprocessing, sampling, k-means."""
