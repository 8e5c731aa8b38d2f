"""What differs and whether it holds: diff, gate, verify, reproduce, bisect, why."""
