"""The pure part of the indexer."""
