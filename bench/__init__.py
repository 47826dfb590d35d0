"""
The benchmarks, runnable by anyone: `make bench`, or `python -m bench NAME …`.

Each module of this package with a `BENCHMARK` is one. Load goes through the public API of a running server: that of
BENCH_URL (with BENCH_USER and BENCH_PASSWORD), or a standalone one that is started for it. Machines differ, so every
run is calibrated by a skeleton of the same path without logic (see `bench.calibration`).
"""
