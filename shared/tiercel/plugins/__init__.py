"""Task and trigger types: their properties, and what the runnable ones do. Type names mirror Kestra's."""
