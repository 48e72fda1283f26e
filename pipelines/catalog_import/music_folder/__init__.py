"""Import of a folder of music files: tags, lyrics beside the files, playlists."""
