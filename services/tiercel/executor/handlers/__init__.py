"""What the executor does with each topic that it consumes."""
