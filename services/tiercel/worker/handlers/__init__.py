"""One module per topic that a worker reads."""
