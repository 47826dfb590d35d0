"""Tasks about the files of a namespace."""
