"""What only the tests use: block cases, models and networks to try, deliberate faults."""
