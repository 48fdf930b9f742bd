"""OpenAI's API as far as it moderates: /v1/moderations, /v1/files, /v1/batches. Clients change their base URL and no more."""
