"""Gives a bundle's scores a meaning that lasts, and finds the thresholds for what is wanted."""
