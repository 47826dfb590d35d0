"""Internal storage: files of executions, namespaces and key-values, under `kestra://` URIs."""
