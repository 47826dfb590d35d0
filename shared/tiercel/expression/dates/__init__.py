"""Dates as Java's DateTimeFormatter reads and writes them."""
