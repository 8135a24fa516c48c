"""One operation, from call to result."""
