"""Tasks that publish measurements."""
