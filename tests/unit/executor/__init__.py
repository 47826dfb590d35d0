"""The executor's shell: what surrounds the core."""
