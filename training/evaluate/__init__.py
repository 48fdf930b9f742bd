"""Measures a bundle as a worker serves it: quality, calibration, fairness, over-blocking, robustness."""
