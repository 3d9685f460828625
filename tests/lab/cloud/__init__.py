"""Doubles of what berth talks to outside the machine: IMDS, AWS, registries. README.md is the guide
for test writers."""
