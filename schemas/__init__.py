"""The contracts between strangers: everything that crosses a topic or a folder, versioned and documented.

JSON Schema and AsyncAPI documents are generated from these models (`llmos schemas export`). Nothing here imports from the
other packages, opens a connection or reads the environment.
"""
