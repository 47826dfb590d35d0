"""Tasks that are made of a template."""
