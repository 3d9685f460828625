"""Doubles of what berth talks to outside the machine: IMDS, AWS, registries. README.md is the guide for test writers."""

import warnings

# Debian 12's cryptography still carries the old date API's warnings.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="botocore")
