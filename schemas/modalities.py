"""The five modalities of a track, in token order."""

PLAYLIST = "playlist"
TAGS = "tags"
METADATA = "metadata"
LYRICS = "lyrics"
AUDIO = "audio"

MODALITIES = (PLAYLIST, TAGS, METADATA, LYRICS, AUDIO)
"""Every modality, in the order of a track's tokens."""

TEXT_MODALITIES = (TAGS, METADATA, LYRICS)
"""Modalities whose input is text out of the track's own row."""

CONTENT_MODALITIES = (*TEXT_MODALITIES, AUDIO)
"""Modalities whose input comes with the track. A playlist vector comes from the playlists that hold the track."""
