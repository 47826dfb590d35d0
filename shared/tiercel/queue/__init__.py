"""The queue: a port with three routes, and its adapters."""
