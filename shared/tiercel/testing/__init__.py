"""
The test kit that ships with Tiercel.

An event loop whose time jumps, a clock that stands still, services in memory, a scripted worker.
"""
