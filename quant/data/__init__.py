"""Data sets, image files and augmentation."""
