"""Tasks about files in internal storage."""
