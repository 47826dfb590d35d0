"""Tasks about the key-value pairs of a namespace."""
