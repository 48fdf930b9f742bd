"""From raw data to a model bundle: one script a step. Nothing here is needed for serving."""
