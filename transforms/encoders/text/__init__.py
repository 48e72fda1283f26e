"""Text encoders and their backends."""
