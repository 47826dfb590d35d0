"""The conformance runner: what an engine that runs Kestra's flows must do, read from data and tried."""
