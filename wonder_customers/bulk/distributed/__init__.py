"""Bulk jobs on many workers: partitions of one source are leased to workers, with one journal and one rate limit."""
