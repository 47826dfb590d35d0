"""The test kit that ships with Tiercel: an event loop whose time jumps, services in memory, a scripted worker."""
