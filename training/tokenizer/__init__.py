"""A tokenizer for an encoder or a causal model: trained, taken from a base, or cut down from a base's."""
