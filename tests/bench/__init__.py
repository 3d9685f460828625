"""Ways of getting an image into an engine, timed alternately in one run. README.md tells how."""
