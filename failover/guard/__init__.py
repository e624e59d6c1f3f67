"""The one way in and out of writability, on every database host."""
