"""A real data flow, run through all processes: `make demo`."""
