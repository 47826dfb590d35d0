"""Flowables: tasks that hold other tasks, and the tasks that start other executions."""
