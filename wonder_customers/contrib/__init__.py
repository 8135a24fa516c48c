"""Integrations: `problems` for any web framework, Starlette and FastAPI, logging, and OpenTelemetry."""
