"""Tasks that remember something from one execution of a flow to the next."""
