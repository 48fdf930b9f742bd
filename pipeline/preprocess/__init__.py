"""The preprocess stage: job records in, work batches and dead letters out, offsets moved only after both are safe.

`decode` → `prepare` → `packing` are pure; `gate`, `batcher` and `app` move messages.
"""
