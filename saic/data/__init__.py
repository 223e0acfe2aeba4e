"""Lists of recordings with their speakers: manifests and public corpora."""
