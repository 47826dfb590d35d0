"""What an indexer does with each topic that it reads."""
