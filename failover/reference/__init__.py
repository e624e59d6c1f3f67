"""The pages of docs/ that are made from the code. Nothing that runs imports this package."""
