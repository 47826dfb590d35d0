"""Measurements of single adapters, apart from the benchmarks of whole installations."""
