"""Pictures of docs/architecture.md, drawn from the code: `make docs` draws them, a test compares them."""
