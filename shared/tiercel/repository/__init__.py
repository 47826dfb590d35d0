"""The repository: history, as the indexer writes it and the webserver searches it."""
