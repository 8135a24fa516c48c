"""Measurements of wonder_customers beside what a user would take instead: ``python -m benchmarks``.

Each public file asks one question. What counts are the ratios inside one run: machines differ, and so do days.
"""
