"""Programs that try very many inputs; what they find becomes a test of its own beside its noun."""
