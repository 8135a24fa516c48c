"""Small helpers that any module may import: clock, loopback guard, extras, phone numbers."""
