"""Helpers without any dependency on the rest of the package: clock, loopback hosts, phone numbers, wait queue."""
