"""Tasks that work on texts: an example of a package that brings types of tasks."""
