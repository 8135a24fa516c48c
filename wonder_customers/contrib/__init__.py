"""Integrations with web frameworks, logging and OpenTelemetry."""
