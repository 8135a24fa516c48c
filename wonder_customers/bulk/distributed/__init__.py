"""Bulk jobs on many workers."""
