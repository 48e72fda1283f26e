"""Audio encoders: computed descriptors and CLAP."""
