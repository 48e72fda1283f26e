"""Names of the playlist encoders."""

WORD2VEC, ALS = "word2vec", "als"

AUTO = "auto"
"""Choice of the encoder that continues held-out playlists best."""

PLAYLIST_ENCODERS = (WORD2VEC, ALS, AUTO)
"""All choices; the first is the default."""
