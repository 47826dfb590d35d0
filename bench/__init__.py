"""Benchmarks that anyone can run against a server that speaks these paths: `python -m bench NAME`."""
