"""Tests that need no simulator."""
