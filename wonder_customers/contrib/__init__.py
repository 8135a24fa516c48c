"""Integrations with web frameworks, Starlette and FastAPI, logging, and OpenTelemetry."""
