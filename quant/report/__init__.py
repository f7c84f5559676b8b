"""The report: one HTML page and one JSON about a network in every width."""
