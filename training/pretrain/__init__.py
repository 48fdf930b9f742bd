"""Learns language from plain texts: a masked-token encoder, or a causal model that writes on."""
