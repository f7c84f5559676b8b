"""Executions of an integer graph, and their comparison."""
