"""What runs the data path: host port, scheduler, precision controller, watchdog."""
