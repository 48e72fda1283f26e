"""Learning centroids: preprocessing, sampling, k-means."""
