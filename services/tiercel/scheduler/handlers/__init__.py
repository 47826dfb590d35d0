"""One handler for each topic that the scheduler reads."""
