"""What needs no world: questions of expressions, conversion of values, shapes of logs and outputs."""
