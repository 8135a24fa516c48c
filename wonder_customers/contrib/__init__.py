"""Integrations with web frameworks (such as Starlette and FastAPI), logging and OpenTelemetry."""
