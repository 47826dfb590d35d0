"""Definitions: flows (immutable per revision) and namespaces, written by the webserver, read by everyone."""
