"""Helpers without any dependency on the rest of the package: the clock, and phone numbers."""
