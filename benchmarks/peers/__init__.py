"""What users would write or install in place of LLM OS, each in a virtual environment of its own; see `bench_peers`.

Each module is one peer and takes the same options; `usual` is how its documentation or any tutorial has it, `tuned` how far it
goes: 256 texts taken at once, sorted, in short runs, ONNX Runtime without busy waiting, results sent in batches.
Nothing here imports LLM OS.
"""
