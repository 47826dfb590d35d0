"""The executor's core, stepped event by event: decisions in milliseconds, without a service, a queue or a clock."""
