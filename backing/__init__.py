"""
Backing services: a real Apache Kafka and a real MinIO for tests, demonstrations, benchmarks and sieges.

    kafka.py, minio.py       a broker, an object store: start, stop, kill, pause, restart
    process.py               what both are: a child process that ends with us, on a port of its own
    choice.py                which one a test gets: an address in the environment, a container, one of these
    containers.py            both in containers, where an engine answers
    kafka_files.py           gets the broker: its jars, checked against `kafka.lock`
    java.py                  finds, or installs, what runs it
    tools.py                 what checks `deploy/`: Helm, the loader of compose files, Prometheus, PgBouncer
    golang.py                builds from Go modules that are pinned here
    minio_files.py           gets the object store: built from the module that `minio_module/go.sum` pins
    cache.py                 where both are kept between runs: the user's cache
    __main__.py              `make services`, `python -m backing prepare`

Nothing of Tiercel depends on this package; it is not shipped.
"""
