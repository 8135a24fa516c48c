"""Work spread over many workers: partitions of one source, leased to whoever works, one journal and one rate."""
