"""PostgreSQL as all adapters use it: pool, statements in files, migrations, binary arrays, signals."""
