"""Helpers without any dependency on the rest of the package, such as the clock, phone numbers and the wait queue."""
