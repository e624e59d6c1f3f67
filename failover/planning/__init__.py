"""From a verdict to a plan: pure values in, pure values out."""
