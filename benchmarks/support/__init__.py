"""What the benchmarks share: texts with real lengths, a broker, the pipeline as processes, counters from /proc, reports."""
