"""The Perspective-compatible API: Google's Comment Analyzer as clients know it, answered by our models."""
