"""What happened: the port of the repository, written by the indexer and searched by the webserver, and its adapters."""
