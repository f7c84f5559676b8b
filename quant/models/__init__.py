"""Float networks: the zoo's and the user's, their weights and their training."""
