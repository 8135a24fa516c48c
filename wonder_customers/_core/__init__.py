"""How a session runs an operation, from the call to the result."""
