"""Doubles of what berth talks to: IMDS, AWS, registries. README.md is the guide."""
