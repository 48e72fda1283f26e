"""Running encoders inside Beam."""
