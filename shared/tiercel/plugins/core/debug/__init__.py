"""Tasks that show what an expression is."""
