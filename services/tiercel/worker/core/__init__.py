"""The pure part of the worker: questions of expressions, conversion of values, masking of secrets."""
