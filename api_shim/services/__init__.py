"""The use cases: each authorizes, applies the rules, and writes one transaction with its audit event."""
